"""The plan cache: one plan for every graph, precision, TensorRT version and GPU."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import onnx

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.progress import Log
from seg_perception.inference.tensorrt.plan import (
    SUFFIX,
    Plan,
    PlanManifest,
    PlanSource,
    PlanTarget,
    read_graph,
    read_manifest,
    read_plan,
    sha256,
    write_plan,
)

_KEY_DIGITS = 16

LoadedEngine = TypeVar("LoadedEngine")


def cache_folder() -> Path:
    """The folder of the cache: below SEG_PERCEPTION_CACHE if that is set, else in the user's cache folder (XDG)."""
    configured = os.environ.get("SEG_PERCEPTION_CACHE")
    if configured:
        return Path(configured) / "plans"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seg_perception" / "plans"


class PlanCache:
    """The plans in a folder. Processes may share it: while one builds a plan, the others wait for it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open a cache; by default that of the user."""
        self._folder = folder or cache_folder()

    def path(self, source: PlanSource, target: PlanTarget) -> Path:
        """Path of the plan for a source and a target, whether or not it exists."""
        key = sha256(json.dumps([asdict(source), asdict(target)], sort_keys=True).encode())[:_KEY_DIGITS]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", source.model)
        return self._folder / f"{name}-{source.precision}-{target.flavour}-{key}{SUFFIX}"

    def get_or_build(
        self,
        source: PlanSource,
        target: PlanTarget,
        build: Callable[[], tuple[Plan, onnx.ModelProto]],
        load: Callable[[bytes], LoadedEngine],
        log: Log,
    ) -> LoadedEngine:
        """Load the plan from the cache; build and store it if there is none or if it cannot be loaded.

        Args:
            source: of the plan.
            target: of the plan.
            build: builds the plan; returns it with the graph it was built from.
            load: loads a plan whose hash was checked.
            log: gets one sentence with the reason if a plan is built.

        Raises:
            DeviceError: the new plan cannot be loaded either.
            ModelError: the cache cannot be written.
            SegPerceptionError: raised by `build`.
        """
        path = self.path(source, target)
        loaded = _from_cache(path, load, log)
        if loaded is not None:
            return loaded
        with self._lock(path, log):
            loaded = _from_cache(path, load, lambda sentence: None)
            if loaded is not None:  # another process has built it in the meantime
                return loaded
            self._log_build_reason(source, target, log)
            plan, graph = build()
            self.store(plan, graph)
        return load(plan.content)

    def store(self, plan: Plan, graph: onnx.ModelProto) -> Path:
        """Store a plan and the graph it was built from; replaces an older plan.

        Raises:
            ModelError: the cache cannot be written.
        """
        path = self.path(plan.manifest.source, plan.manifest.target)
        write_plan(path, plan, graph)
        return path

    def find_graph(self, source: PlanSource) -> onnx.ModelProto | None:
        """Find the converted graph of a source, from a plan for any TensorRT version and GPU.

        So an int8 plan is built again after an update of TensorRT without its calibration images.
        """
        for path, manifest in self.plans():
            if manifest.source == source:
                with contextlib.suppress(ModelError):
                    return read_graph(path, manifest)
        return None

    def plans(self) -> list[tuple[Path, PlanManifest]]:
        """All plans with a readable manifest, for any target."""
        found = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(ModelError):
                found.append((path, read_manifest(path)))
        return found

    def _log_build_reason(self, source: PlanSource, target: PlanTarget, log: Log) -> None:
        others = [manifest.target for _, manifest in self.plans() if manifest.source == source]
        known = f"; those in the cache are for {', '.join(map(str, others))}" if others else ""
        log(f"building a plan of {source.model} in {source.precision} for {target}{known}; this takes minutes, once.")

    @contextlib.contextmanager
    def _lock(self, path: Path, log: Log) -> Iterator[None]:
        # A lock of the operating system: a killed process leaves none behind.
        lock = path.with_suffix(".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("w")
        except OSError as error:
            raise ModelError(
                f"{lock}: cannot be written ({error.strerror}); correct the folder's rights, or name another in "
                "SEG_PERCEPTION_CACHE."
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log(f"another process builds {path.name}; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _from_cache(path: Path, load: Callable[[bytes], LoadedEngine], log: Log) -> LoadedEngine | None:
    if not path.exists():
        return None
    try:
        return load(read_plan(path).content)
    except (ModelError, DeviceError) as error:
        log(f"{str(error).split(';')[0].rstrip('.')}; the plan is built again.")
        return None
