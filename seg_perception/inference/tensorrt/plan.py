"""A TensorRT plan and its manifest: source, target machine and hashes.

A plan is machine code. TensorRT never gets a plan whose hash differs from that in its manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import onnx

from seg_perception.errors import ModelError

SUFFIX = ".plan"
_FORMAT = 2


@dataclass(frozen=True)
class PlanTarget:
    """The TensorRT version and the GPU that a plan is for.

    Attributes:
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of TensorRT or TensorRT-RTX.
        gpu: name of the GPU, or "any" where plans are portable.
        compute_capability: of the GPU, or "any".
    """

    flavour: str
    version: str
    gpu: str
    compute_capability: str

    def __str__(self) -> str:
        on = "any GPU" if self.gpu == "any" else f"{self.gpu} (compute capability {self.compute_capability})"
        return f"{self.flavour} {self.version} on {on}"


@dataclass(frozen=True)
class PlanSource:
    """The network and graph that a plan is built from.

    Attributes:
        model: name of the network, from its card.
        model_sha256: hash of the network file.
        graph_sha256: hash of the graph in fp32: normalisation, network, calibration and decision, with fixed shapes.
        precision: "fp32", "fp16" or "int8".
    """

    model: str
    model_sha256: str
    graph_sha256: str
    precision: str


@dataclass(frozen=True)
class PlanManifest:
    """Description of a plan; the JSON file next to it.

    Attributes:
        source: what the plan is built from.
        target: what it is built for.
        spec: fields of its `GraphSpec`.
        inputs: name → [type, shape].
        outputs: name → [type, shape].
        build_seconds: duration of the build, s.
        precision_parity: fields of its `PrecisionParity`; None if it was not compared with fp32.
        plan_sha256: hash of the plan.
        converted_sha256: hash of the graph in the plan's precision.
    """

    source: PlanSource
    target: PlanTarget
    spec: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    build_seconds: float
    precision_parity: Mapping[str, Any] | None
    plan_sha256: str
    converted_sha256: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan whose hash is that in its manifest.

    Attributes:
        content: the bytes that TensorRT loads.
        manifest: its description.
    """

    content: bytes
    manifest: PlanManifest


def sha256(content: bytes) -> str:
    """The sha256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def graph_sha256(graph: onnx.ModelProto) -> str:
    """Hash of a graph; the same in every process."""
    return sha256(graph.SerializeToString(deterministic=True))


def manifest_path(plan: Path) -> Path:
    """Path of the manifest of a plan: `urban.plan.json` for `urban.plan`."""
    return plan.with_name(plan.name + ".json")


def write_plan(path: Path, plan: Plan, graph: onnx.ModelProto) -> None:
    """Write a plan, the graph it was built from and its manifest so that readers never use a part of them.

    The manifest is written last: a plan without a manifest, or with an older one, is invalid.

    Raises:
        ModelError: the folder cannot be written.
    """
    write_atomically(_graph_path(path), graph.SerializeToString(deterministic=True))
    write_atomically(path, plan.content)
    described = {"format": _FORMAT, **asdict(plan.manifest)}
    write_atomically(manifest_path(path), (json.dumps(described, indent=2) + "\n").encode())


def _graph_path(plan: Path) -> Path:
    return plan.with_name(plan.name + ".onnx")


def read_graph(plan: Path, manifest: PlanManifest) -> onnx.ModelProto:
    """Read the graph that a plan was built from.

    Raises:
        ModelError: it is missing or damaged.
    """
    path = _graph_path(plan)
    graph = onnx.ModelProto()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:  # damaged bytes may fail anywhere in protobuf
        raise ModelError(f"{path}: cannot be read ({' '.join(str(error).split())}); {_REBUILD}") from None
    if graph_sha256(graph) != manifest.converted_sha256:
        raise ModelError(f"{path}: is not the graph that the manifest names; {_REBUILD}")
    return graph


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file, then rename it.

    Raises:
        ModelError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _write_error(path.parent, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a robot may lose power at any time
            os.fchmod(file.fileno(), 0o644)  # mkstemp's is for this user alone
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise _write_error(path, error) from None


def _write_error(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path}: cannot be written ({error.strerror}); free space or correct its rights.")


def read_manifest(plan: Path) -> PlanManifest:
    """Read the manifest of a plan.

    Raises:
        ModelError: it is missing, or not a manifest of this version.
    """
    path = manifest_path(plan)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            raise ValueError("another version of the format")
        content["source"] = PlanSource(**content["source"])
        content["target"] = PlanTarget(**content["target"])
        return PlanManifest(**{field.name: content[field.name] for field in fields(PlanManifest)})
    except FileNotFoundError:
        raise ModelError(f"{path}: is missing, so the plan cannot be verified; {_REBUILD}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: is not a manifest of a plan ({error}); {_REBUILD}") from None


def read_plan(path: Path) -> Plan:
    """Read a plan, and check it against its manifest.

    Raises:
        ModelError: plan or manifest is missing or damaged.
    """
    manifest = read_manifest(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {_REBUILD}") from None
    if sha256(content) != manifest.plan_sha256:
        raise ModelError(f"{path}: is not the plan that its manifest describes (its sha256 differs); {_REBUILD}")
    return Plan(content, manifest)


def mismatch(path: Path, manifest: PlanManifest, target: PlanTarget) -> str | None:
    """One sentence that names both targets if a plan is not for this machine; else None."""
    if manifest.target == target:
        return None
    return f"{path}: was built for {manifest.target}, but this machine has {target}; {_REBUILD}"


_REBUILD = "build it again here with: seg-perception compile MODEL.onnx"
