"""Recordings cut into segments and merged: the same result as in one run, whatever happens to the workers."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.batch_inputs import ENDLESS, IMAGES, LEFT_BEHIND, STILL_THERE, arguments, same, summary, write_inputs

from seg_perception.benchmark.parts import ray
from seg_perception.cli.__main__ import main
from seg_perception.errors import DeviceError
from seg_perception.offline import ray_workers
from seg_perception.offline import segment as segment_module
from seg_perception.offline.job import Job, JobResult, run_job


class SequentialWorkers:
    """Two workers like those of `RayWorkers`; their jobs run in this process, one by one, the last first."""

    count = 2
    alter = staticmethod(lambda job, done: done)

    def __init__(self, *_: object, **__: object) -> None:
        self._waiting: list[tuple[int, Job]] = []

    def submit(self, number: int, job: Job) -> None:
        self._waiting.append((number, job))

    def wait(self, seconds: float) -> tuple[int, JobResult | None] | None:
        number, job = self._waiting.pop()
        return number, self.alter(job, run_job(job))

    def __enter__(self) -> SequentialWorkers:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> type[SequentialWorkers]:
    monkeypatch.setattr(ray_workers, "RayWorkers", SequentialWorkers)
    return SequentialWorkers


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize(
    ("half_life", "segments", "again"), [(LEFT_BEHIND, 2, 0), (STILL_THERE, 2, 1), (ENDLESS, 1, 0)]
)
def test_a_recording_in_segments_gives_the_result_of_one_run(
    inputs: Path, tmp_path: Path, half_life: float, segments: int, again: int
) -> None:
    given = str(inputs / "long")
    assert main(arguments(inputs, tmp_path / "one", given, half_life=half_life)) == 0
    assert main(arguments(inputs, tmp_path / "many", given, "--ray", half_life=half_life)) == 0
    assert summary(tmp_path / "many")["spread"] == {"workers": 2, "stretches": segments, "done again": again}
    assert same(tmp_path / "one", tmp_path / "many")
    assert {path.name for path in (tmp_path / "many").iterdir()} == {"report.html", "result.mcap", "summary.json"}


@pytest.mark.usefixtures("workers")
def test_a_broken_bag_is_named_at_the_end_and_the_others_are_replayed(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mcap").write_bytes(next((inputs / "long").glob("*.mcap")).read_bytes()[:20_000])
    bags = [str(tmp_path / "broken.mcap"), str(inputs / "short"), str(inputs / "long")]
    assert main(arguments(inputs, tmp_path / "out", *bags, "--ray")) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "broken.mcap" in lines[-2] and "1 of 3 recordings gave no result" in lines[-1]
    assert summary(tmp_path / "out" / "short")["frames"]["out"] == 30
    assert summary(tmp_path / "out" / "long")["frames"]["out"] == IMAGES


def test_resuming_several_bags_skips_finished_ones(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(inputs / "short", tmp_path / "short")
    bags = [str(inputs / "short"), str(tmp_path / "none.mcap"), str(tmp_path / "short")]
    assert main(arguments(inputs, tmp_path / "out", *bags)) == 2
    assert "none.mcap: no such file" in capsys.readouterr().err
    assert same(tmp_path / "out" / "short", tmp_path / "out" / "short-2")
    before = (tmp_path / "out" / "short" / "result.mcap").stat().st_mtime_ns
    shutil.copytree(inputs / "short", tmp_path / "none.mcap")
    assert main(arguments(inputs, tmp_path / "out", *bags, "--resume")) == 0
    assert (tmp_path / "out" / "short" / "result.mcap").stat().st_mtime_ns == before
    assert same(tmp_path / "out" / "short", tmp_path / "out" / "none")


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("half_life", [LEFT_BEHIND, STILL_THERE])
def test_a_run_interrupted_anywhere_resumes_to_the_same_result(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_life: float
) -> None:
    given = arguments(inputs, tmp_path / "many", str(inputs / "long"), "--ray", half_life=half_life)
    process, calls = segment_module.Pipeline.process, 0
    more: list[str] = []
    for interrupt_after in (30, 120, 150):  # in a warm-up, in the last segment, in the first

        def interrupted(self, frame, limit=interrupt_after):
            nonlocal calls
            calls += 1
            if calls > limit:
                raise KeyboardInterrupt
            return process(self, frame)

        monkeypatch.setattr(segment_module.Pipeline, "process", interrupted)
        calls = 0
        assert main([*given, *more]) == 130
        more = ["--resume"]
    monkeypatch.setattr(segment_module.Pipeline, "process", process)
    assert main([*given, *more]) == 0
    assert main(arguments(inputs, tmp_path / "one", str(inputs / "long"), half_life=half_life)) == 0
    assert same(tmp_path / "one", tmp_path / "many")
    assert main([*given, *more]) == 2, "nothing is left to resume"


def test_a_worker_that_dies_every_time_fails_only_its_recording(
    inputs: Path,
    tmp_path: Path,
    workers: type[SequentialWorkers],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        workers, "alter", staticmethod(lambda job, done: done if "short" in job.request.source else None)
    )
    bags = [str(inputs / "long"), str(inputs / "short")]
    assert main(arguments(inputs, tmp_path / "out", *bags, "--ray")) == 2
    assert "long: every worker died that replayed the images from" in capsys.readouterr().err
    assert summary(tmp_path / "out" / "short")["frames"]["out"] == 30
    monkeypatch.setattr(workers, "alter", staticmethod(lambda job, done: done))
    assert main(arguments(inputs, tmp_path / "out", *bags, "--ray", "--resume")) == 0
    assert summary(tmp_path / "out" / "long")["frames"]["out"] == IMAGES


def test_segments_of_different_versions_are_not_merged(
    inputs: Path,
    tmp_path: Path,
    workers: type[SequentialWorkers],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def other(job: Job, done: JobResult) -> JobResult:
        assert done.result is not None
        return done if job.segment.first else replace(done, result=replace(done.result, hashes={"model": "another"}))

    monkeypatch.setattr(workers, "alter", staticmethod(other))
    assert main(arguments(inputs, tmp_path / "out", str(inputs / "long"), "--ray")) == 2
    assert "workers with different versions or engines made its segments" in capsys.readouterr().err


@pytest.mark.usefixtures("workers")
def test_files_that_a_worker_does_not_see_are_named(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seg_perception.offline.job.recording_exists", lambda path: not path.endswith("short"))
    assert main(arguments(inputs, tmp_path / "out", str(inputs / "short"), "--ray")) == 2
    assert "does not see it; put it where all machines of the cluster see it" in capsys.readouterr().err


def test_the_bench_compares_one_worker_with_two(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "find_spec", lambda name: object())
    monkeypatch.setattr(ray, "RayWorkers", SequentialWorkers)
    monkeypatch.setattr(ray, "QUICK_FRAMES", 8)
    given = ["--model", str(inputs / "tiny.onnx"), "--matrix", str(inputs / "matrix.yaml"), "--out", str(tmp_path)]
    assert main(["bench", "speed", "ray", "--quick", *given]) == 0
    summary = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    part, (target,) = summary["parts"]["ray"], summary["targets"]
    assert part["same"] and part["frames"] == 16
    assert part["speedup"]["value"] == pytest.approx(part["one_ms"]["p50"] / part["two_ms"]["p50"], abs=1e-3)
    assert target["what"] == "speedup of two workers over one" and target["limit"] == 1.7


def _no_answer(**_: object) -> None:
    raise ConnectionError("nobody there\nand a long story")


@pytest.mark.parametrize(
    ("ray", "sentence"),
    [
        (None, "--ray needs Ray .* pip install 'seg_perception\\[ray\\]'"),
        (SimpleNamespace(init=_no_answer), r"--ray host:1: no Ray cluster answers there \(nobody there\); start one"),
        (
            SimpleNamespace(
                init=lambda **_: None,
                shutdown=lambda: None,
                nodes=lambda: [
                    {"Alive": True, "Resources": {"CPU": 3.0}},
                    {"Alive": False, "Resources": {"CPU": 64.0}},
                ],
            ),
            "no machine of the cluster has 4 CPUs for a worker; give fewer --threads",
        ),
    ],
)
def test_a_missing_or_too_small_cluster_is_reported(monkeypatch: pytest.MonkeyPatch, ray: Any, sentence: str) -> None:
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(DeviceError, match=sentence):
        ray_workers.RayWorkers("host:1", run_job, 4)
