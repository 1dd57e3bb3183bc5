"""A TensorRT plan with its manifest: what it was built from, for which machine, and the hash that vouches for it.

A plan is machine code. One that is not exactly what its manifest says is never handed to TensorRT.
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
_FORMAT = 1


@dataclass(frozen=True)
class PlanTarget:
    """The software and the machine that a plan is for.

    Attributes:
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of it.
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
    """What a plan is made from.

    Attributes:
        model: name of the network, from its card.
        model_sha256: of the network file.
        graph_sha256: of the graph in fp32: the network with normalisation, calibration and decision, for one size.
        precision: "fp32", "fp16" or "int8".
    """

    model: str
    model_sha256: str
    graph_sha256: str
    precision: str


@dataclass(frozen=True)
class Manifest:
    """All that is known about a plan; the JSON file beside it.

    Attributes:
        source: what it is made from.
        target: what it is for.
        spec: the `GraphSpec` it was built for, by field.
        inputs: name → [type, shape], as TensorRT tells them.
        outputs: likewise.
        build_seconds: how long the build took.
        agreement: figures of the comparison with fp32; None where none was made.
        plan_sha256: of the plan.
        converted_sha256: of the graph it was built from, in its precision.
    """

    source: PlanSource
    target: PlanTarget
    spec: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    build_seconds: float
    agreement: Mapping[str, Any] | None
    plan_sha256: str
    converted_sha256: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan that its manifest vouches for.

    Attributes:
        content: what TensorRT loads.
        manifest: what it is.
    """

    content: bytes
    manifest: Manifest


def sha256(content: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def graph_sha256(graph: onnx.ModelProto) -> str:
    """Hash of a graph; the same graph gives the same one in every process."""
    return sha256(graph.SerializeToString(deterministic=True))


def manifest_path(plan: Path) -> Path:
    """Where the manifest of a plan lies: `urban.plan`, `urban.plan.json`."""
    return plan.with_name(plan.name + ".json")


def write_plan(path: Path, plan: Plan, graph: onnx.ModelProto) -> None:
    """Write a plan, the graph it was built from and its manifest so that no reader ever meets half of them.

    The manifest comes last: a plan without one, or beside an older one, is none.

    Raises:
        ModelError: the folder cannot be written.
    """
    write_atomically(_graph_path(path), graph.SerializeToString(deterministic=True))
    write_atomically(path, plan.content)
    described = {"format": _FORMAT, **asdict(plan.manifest)}
    write_atomically(manifest_path(path), (json.dumps(described, indent=2) + "\n").encode())


def _graph_path(plan: Path) -> Path:
    return plan.with_name(plan.name + ".onnx")


def read_graph(plan: Path, manifest: Manifest) -> onnx.ModelProto:
    """The graph that a plan was built from.

    Raises:
        ModelError: it is missing or damaged.
    """
    path = _graph_path(plan)
    graph = onnx.ModelProto()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:  # damaged bytes end anywhere in protobuf
        raise ModelError(f"{path}: cannot be read ({' '.join(str(error).split())}); {_AGAIN}") from None
    if graph_sha256(graph) != manifest.converted_sha256:
        raise ModelError(f"{path}: is not the graph that the manifest names; {_AGAIN}")
    return graph


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name, then give it its own.

    Raises:
        ModelError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a robot may lose its power at any time
            os.fchmod(file.fileno(), 0o644)  # mkstemp's is for this user alone
        Path(aside).replace(path)
    except OSError as error:
        Path(aside).unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path}: cannot be written ({error.strerror}); free space or correct its rights.")


def read_manifest(plan: Path) -> Manifest:
    """The manifest of a plan.

    Raises:
        ModelError: it is missing, or not one that this version has written.
    """
    path = manifest_path(plan)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            raise ValueError("of another version")
        content["source"] = PlanSource(**content["source"])
        content["target"] = PlanTarget(**content["target"])
        return Manifest(**{field.name: content[field.name] for field in fields(Manifest)})
    except FileNotFoundError:
        raise ModelError(f"{path}: is missing, so nothing vouches for the plan; {_AGAIN}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: is no manifest of a plan ({error}); {_AGAIN}") from None


def read_plan(path: Path) -> Plan:
    """Read a plan, and check it against its manifest.

    Raises:
        ModelError: plan or manifest are missing or damaged.
    """
    manifest = read_manifest(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from None
    if sha256(content) != manifest.plan_sha256:
        raise ModelError(f"{path}: is not the plan that its manifest vouches for (another sha256); {_AGAIN}")
    return Plan(content, manifest)


def mismatch(path: Path, manifest: Manifest, target: PlanTarget) -> str | None:
    """One sentence naming both sides if a plan is not for this machine; None when it is."""
    if manifest.target == target:
        return None
    return f"{path}: was built for {manifest.target}, but this machine has {target}; {_AGAIN}"


_AGAIN = "build it again here with: seg-perception compile MODEL.onnx"
