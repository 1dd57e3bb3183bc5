"""Plans kept between starts, one for every graph, precision, TensorRT and GPU."""

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
from seg_perception.inference.tensorrt.plan import (
    SUFFIX,
    Manifest,
    Plan,
    PlanSource,
    PlanTarget,
    read_graph,
    read_manifest,
    read_plan,
    sha256,
    write_plan,
)

_KEY_DIGITS = 16

Say = Callable[[str], None]
Loaded = TypeVar("Loaded")


def cache_folder() -> Path:
    """Where plans are kept: below SEG_PERCEPTION_CACHE if that is set, else the user's cache folder (XDG)."""
    own = os.environ.get("SEG_PERCEPTION_CACHE")
    if own:
        return Path(own) / "plans"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seg_perception" / "plans"


class PlanCache:
    """The plans in a folder. Processes may share it: what one builds, the others wait for."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open a cache; by default the user's."""
        self._folder = folder or cache_folder()

    def path(self, source: PlanSource, target: PlanTarget) -> Path:
        """Where the plan for these two lies, there or not."""
        key = sha256(json.dumps([asdict(source), asdict(target)], sort_keys=True).encode())[:_KEY_DIGITS]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", source.model)
        return self._folder / f"{name}-{source.precision}-{target.flavour}-{key}{SUFFIX}"

    def get_or_build(
        self,
        source: PlanSource,
        target: PlanTarget,
        build: Callable[[], tuple[Plan, onnx.ModelProto]],
        load: Callable[[bytes], Loaded],
        say: Say,
    ) -> Loaded:
        """Load the plan from the cache; build and keep it where there is none, or only one that cannot be loaded.

        Args:
            source: what it must be made from.
            target: what it must be for.
            build: builds it, and gives the graph it was built from as well.
            load: loads a plan whose hash is right.
            say: told in a sentence what is done and why, if it takes time.

        Raises:
            DeviceError: not even a plan just built can be loaded.
            ModelError: the cache cannot be written.
            SegPerceptionError: of `build`.
        """
        path = self.path(source, target)
        loaded = _from_cache(path, load, say)
        if loaded is not None:
            return loaded
        with self._lock(path, say):
            loaded = _from_cache(path, load, lambda sentence: None)
            if loaded is not None:  # another process has built it meanwhile
                return loaded
            self._tell_why(source, target, say)
            plan, graph = build()
            self.keep(plan, graph)
        return load(plan.content)

    def keep(self, plan: Plan, graph: onnx.ModelProto) -> Path:
        """Put a plan into the cache, in place of an older one, with the graph it was built from.

        Raises:
            ModelError: the cache cannot be written.
        """
        path = self.path(plan.manifest.source, plan.manifest.target)
        write_plan(path, plan, graph)
        return path

    def graph_of(self, source: PlanSource) -> onnx.ModelProto | None:
        """The graph in its precision, from any plan that was built of `source`, whatever TensorRT it was for.

        So an int8 plan is built again after an update of TensorRT without its calibration images.
        """
        for path, manifest in self.plans():
            if manifest.source == source:
                with contextlib.suppress(ModelError):
                    return read_graph(path, manifest)
        return None

    def plans(self) -> list[tuple[Path, Manifest]]:
        """All plans with a readable manifest, whatever they are for."""
        found = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(ModelError):
                found.append((path, read_manifest(path)))
        return found

    def _tell_why(self, source: PlanSource, target: PlanTarget, say: Say) -> None:
        others = [manifest.target for _, manifest in self.plans() if manifest.source == source]
        known = f"; those in the cache are for {', '.join(map(str, others))}" if others else ""
        say(f"building a plan of {source.model} in {source.precision} for {target}{known}; this takes minutes, once.")

    @contextlib.contextmanager
    def _lock(self, path: Path, say: Say) -> Iterator[None]:
        # Of the operating system, so that a process that is killed leaves none behind.
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
                say(f"another process builds {path.name}; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _from_cache(path: Path, load: Callable[[bytes], Loaded], say: Say) -> Loaded | None:
    if not path.exists():
        return None
    try:
        return load(read_plan(path).content)
    except (ModelError, DeviceError) as error:
        say(f"{str(error).split(';')[0].rstrip('.')}; the plan is built again.")
        return None
