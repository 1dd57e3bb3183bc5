"""Replays on a Ray cluster of this machine's cores: processes, deaths, interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.batch_inputs import arguments, same, summary, write_inputs

from seg_perception.cli.__main__ import main
from seg_perception.errors import DeviceError
from seg_perception.offline.checkpoint import items_done
from seg_perception.offline.ray_workers import LOCAL, RayWorkers

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'seg_perception[ray]'")


def test_an_interrupted_run_resumes_to_the_same_result_and_leaves_no_process(tmp_path: Path) -> None:
    inputs, out = write_inputs(tmp_path), tmp_path / "many"
    given = arguments(inputs, out, str(inputs / "long"), "--ray")
    command = [sys.executable, "-m", "seg_perception.cli", *given]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240  # a busy machine takes its time to start a cluster
    while not begun(out) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _processes_of(process.pid)
    assert process.poll() is None, "it still ran"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and "--resume continues" in error
    assert begun(out) and not (out / "result.mcap").exists()
    assert not _processes_of(process.pid)
    assert main([*given, "--resume"]) == 0
    assert not ray.is_initialized()
    assert summary(out)["spread"]["stretches"] == 2
    assert main(arguments(inputs, tmp_path / "one", str(inputs / "long"))) == 0
    assert same(tmp_path / "one", out)


def begun(out: Path) -> bool:
    """Whether a worker has written a checkpoint."""
    return any(map(items_done, out.glob("parts/*/checkpoint.npz")))


def _processes_of(driver: int) -> list[str]:
    """Processes of the cluster that a driver started: the name of their folder holds its process id."""
    lines = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                lines.append((folder / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return [line for line in lines if f"_{driver}/" in line]


def _die(path: Path) -> str:
    """Kills the worker the first time, or every time if the folder does not exist; raises for the name `fail`."""
    if path.name == "fail":
        raise ValueError("of the third kind")
    if not path.exists():
        if path.parent.exists():
            path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayWorkers[Path, str]]:
    monkeypatch.setattr("seg_perception.offline.ray_workers._RETRIES", 1)
    # Workers import this file.
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    with RayWorkers(LOCAL, _die) as connected:
        yield connected


def test_another_worker_retries_the_job_of_a_dead_one_a_limited_number_of_times(
    workers: RayWorkers[Path, str], tmp_path: Path
) -> None:
    workers.submit(7, tmp_path / "seen")
    assert workers.wait(240) == (7, "done")
    workers.submit(8, tmp_path / "none" / "seen")
    assert workers.wait(240) == (8, None), "given up"
    workers.submit(9, tmp_path / "fail")
    with pytest.raises(DeviceError, match=r"a worker failed .*of the third kind.* --resume"):
        workers.wait(240)
