"""Progress of a TensorRT build."""

from __future__ import annotations

from seg_perception.inference.tensorrt.build_progress import BuildProgress


def test_progress_combines_nested_phases_and_never_decreases() -> None:
    reported: list[float] = []
    progress = BuildProgress(reported.append)
    progress.start("build", None, 2)
    progress.start("optimise", "build", 4)
    for step in range(4):
        progress.step("optimise", step)
    progress.finish("optimise")
    progress.step("build", 0)
    progress.start("time", "build", 1)
    progress.start("kernels", "time", 2)
    progress.step("kernels", 0)
    progress.step("of an unknown phase", 3)
    progress.finish("kernels")
    progress.finish("time")
    progress.step("build", 1)
    assert reported == [0.125, 0.25, 0.375, 0.5, 0.75, 1.0]
