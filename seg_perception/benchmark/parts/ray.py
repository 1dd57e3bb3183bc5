"""Replay with two workers of a Ray cluster on this machine, against one."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.long_recording import LONG_RECORDING, write_long_recording
from seg_perception.benchmark.setup import Progress, Setup
from seg_perception.benchmark.timing import estimate, interleaved, percentiles
from seg_perception.errors import SegPerceptionError
from seg_perception.offline.distributed import replay_distributed
from seg_perception.offline.job import run_job
from seg_perception.offline.ray_workers import LOCAL, RayWorkers
from seg_perception.offline.request import ReplayRequest
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.settings.pipeline import PipelineSettings

FRAMES, QUICK_FRAMES = 600, 60
ROUNDS, QUICK_ROUNDS = 3, 1
_RECORDINGS = 2


def measure_ray(setup: Setup, progress: Progress) -> dict[str, Any]:
    """Replay two recordings with one worker and with two, in turns; each takes one core.

    Args:
        setup: network and frames.
        progress: called with rounds done and in all.

    Returns:
        frames (of both recordings), one_ms and two_ms (`timing.percentiles`, from distributing the work until both are
        merged, starting the workers included), speedup (`Estimate`) and same (whether all gave the same
        costmaps). Nothing where Ray is not installed.

    Raises:
        SegPerceptionError: a replay failed.
    """
    if find_spec("ray") is None:
        return {}
    request, own = setup.request, setup.own_size
    frames, rounds = (QUICK_FRAMES, QUICK_ROUNDS) if request.quick else (FRAMES, ROUNDS)
    write_long_recording(setup.sample_frames(own.width, own.height), frames, request.folder)
    digests: set[str] = set()

    def replay_with(workers: int, number: int) -> float:
        out = request.folder / "spread"
        requests = [
            ReplayRequest(
                source=str(request.folder / LONG_RECORDING),
                out=out / str(recording),
                model=request.model.absolute(),
                matrix=request.matrix.absolute(),
                settings=PipelineSettings(),
                options=SourceOptions(),
                threads=1,
                backend="onnx_cpu",
                precision="fp32",
                resume=False,
                command="",
                started=time.monotonic(),
            )
            for recording in range(_RECORDINGS)
        ]
        with RayWorkers(LOCAL, run_job, cores=workers) as cluster:
            began = time.perf_counter()
            for _, outcome in replay_distributed(requests, cluster, lambda done, total: None):
                if isinstance(outcome, str):
                    raise SegPerceptionError(outcome)
                digests.add(outcome["hashes"]["costmaps"])
            seconds = time.perf_counter() - began
        shutil.rmtree(out)
        progress(min(number + 1, rounds), rounds)
        return seconds * 1e3

    times = interleaved(
        {"one": lambda number: replay_with(1, number), "two": lambda number: replay_with(2, number)}, rounds, warm_up=0
    )
    return {
        "frames": _RECORDINGS * frames,
        "one_ms": percentiles(times["one"]),
        "two_ms": percentiles(times["two"]),
        "speedup": estimate(_speedup, times["one"], times["two"]).content(),
        "same": len(digests) == 1,
    }


def _speedup(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(one, axis=-1) / np.median(two, axis=-1))
