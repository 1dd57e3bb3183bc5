"""Replay from the command line: its outputs, that they repeat to the byte, and the errors for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import tiny_networks
from support.small_bags import HEIGHT, START, WIDTH, drive

from seg_perception.cli.__main__ import main
from seg_perception.geometry.camera import Camera
from seg_perception.offline import segment as segment_module
from seg_perception.recordings.result_bag.reader import read_label_info, read_result
from seg_perception.settings.grid import GridSettings

MATRIX = """
misclassification: {default: 1, correct: 0}
traverse: {class0: 0, class1: 50, class2: 100, class3: 400, class4: 2000}
standing: [class4]
ignore: []
"""
CONFIG = """
ground: {max_range: 5.0, max_samples: 500}
grid: {width: 12.0, height: 12.0, min_evidence: 0.02}
"""


@pytest.fixture
def setup(tmp_path: Path) -> dict[str, Path]:
    """A network, a matrix, settings and a drive of 12 images with /tf."""
    model = tiny_networks.save(tmp_path, tiny_networks.network(), tiny_networks.card())
    files = {"model": model, "matrix": tmp_path / "matrix.yaml", "config": tmp_path / "config.yaml"}
    files["matrix"].write_text(MATRIX, encoding="utf-8")
    files["config"].write_text(CONFIG, encoding="utf-8")
    return {**files, "bag": drive(count=12).write(tmp_path), "out": tmp_path / "out"}


def run(setup: dict[str, Path], *more: str, source: Path | str | None = None, out: Path | None = None) -> int:
    names = ("model", "matrix", "config")
    given = [text for name in names for text in (f"--{name}", str(setup[name])) if f"--{name}" not in more]
    return main(["replay", str(source or setup["bag"]), "--out", str(out or setup["out"]), *given, *more])


def costmaps(out: Path) -> list[bytes]:
    return [frame.costmap.tobytes() for frame in read_result(out / "result.mcap")]


def test_a_bag_becomes_result_summary_and_report(setup: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(setup) == 0
    printed = capsys.readouterr().out
    for name in ("report.html", "result.mcap", "summary.json"):
        assert str((setup["out"] / name).resolve()) in printed
    summary = json.loads((setup["out"] / "summary.json").read_text(encoding="utf-8"))
    frames = list(read_result(setup["out"] / "result.mcap"))
    assert summary["frames"]["in"] == 12
    assert summary["frames"]["out"] == len(frames) == 12 - sum(summary["frames"]["dropped"].values())
    assert [frame.stamp_ns for frame in frames] == sorted(frame.stamp_ns for frame in frames)
    assert read_label_info(setup["out"] / "result.mcap").costs == (0.0, 50.0, 100.0, 400.0, 2000.0)
    for frame in frames:
        assert frame.labels.shape == (48, 64) and frame.labels.max() < 5
        assert frame.costmap.shape == (120, 120)
        assert set(np.unique(frame.costmap)) <= {-1, *range(99), 100}
    assert any((frame.costmap >= 0).any() for frame in frames), "something was seen"
    known = np.mean([frame.costmap >= 0 for frame in frames])
    assert summary["cells"]["known share"] == pytest.approx(known)
    assert summary["stages"]["network and risk"]["p50"] > 0
    assert "checkpoint.npz" not in {path.name for path in setup["out"].iterdir()}


def test_the_same_input_gives_the_same_costmaps_to_the_byte(setup: dict[str, Path], tmp_path: Path) -> None:
    assert run(setup) == run(setup, out=tmp_path / "again") == 0
    assert costmaps(setup["out"]) == costmaps(tmp_path / "again")
    hashes = [json.loads((out / "summary.json").read_text())["hashes"] for out in (setup["out"], tmp_path / "again")]
    assert hashes[0] == hashes[1]


def test_an_interrupted_replay_resumes_to_the_same_result(
    setup: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(setup, out=tmp_path / "whole") == 0
    monkeypatch.setattr(segment_module, "_CHECKPOINT_EVERY", 3)
    process = segment_module.Pipeline.process
    calls = 0

    def interrupted(self, frame):
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return process(self, frame)

    monkeypatch.setattr(segment_module.Pipeline, "process", interrupted)
    assert run(setup) == 130
    done = len(costmaps(setup["out"]))
    assert 0 < done < 12, "what was finished is readable"
    monkeypatch.setattr(segment_module.Pipeline, "process", process)
    assert run(setup, "--resume") == 0
    assert costmaps(setup["out"]) == costmaps(tmp_path / "whole")
    hashes = [json.loads((out / "summary.json").read_text())["hashes"] for out in (setup["out"], tmp_path / "whole")]
    assert hashes[0] == hashes[1]


def test_resuming_with_another_matrix_is_refused(
    setup: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self, frame):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(segment_module.Pipeline, "process", interrupted)
        assert run(setup) == 130
    setup["matrix"].write_text(MATRIX.replace("400", "500"), encoding="utf-8")
    assert run(setup, "--resume") == 2
    assert "belongs to a run with another input, configuration or version" in capsys.readouterr().err


def _calibration(folder: Path) -> Path:
    path = folder / "camera.yaml"
    path.write_text(
        f"image_width: {WIDTH}\nimage_height: {HEIGHT}\ncamera_name: toy\n"
        "camera_matrix: {rows: 3, cols: 3, data: [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1]}\n"
        "distortion_model: plumb_bob\ndistortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n",
        encoding="utf-8",
    )
    return path


def test_images_without_poses_are_processed_independently(setup: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(3)]
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    given = ("--camera", str(_calibration(tmp_path)), "--mount", "0", "0", "0.8", "0", "0.3", "0")
    assert run(setup, *given, source=folder) == 0
    (folder / "1.png").unlink()
    assert run(setup, *given, source=folder, out=tmp_path / "fewer") == 0
    three, two = costmaps(setup["out"]), costmaps(tmp_path / "fewer")
    assert [three[0], three[2]] == two, "the second image left no trace in the third map"


def test_a_camera_without_ground_in_view_is_reported_and_leaves_nothing(
    setup: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    up = ("--camera", str(_calibration(tmp_path)), "--mount", "0", "0", "0.8", "0", "-1.2", "0")
    assert run(setup, *up, source=folder) == 2
    error = capsys.readouterr().err
    assert "none of its 1 images gave a result" in error and "check the extrinsics" in error
    assert not list(setup["out"].iterdir())


@pytest.mark.parametrize(
    ("degrade", "sentence"),
    [
        (lambda s: s["model"].unlink(), "tiny.onnx"),
        (lambda s: s["model"].write_bytes(b"no network"), "sha256"),
        (lambda s: s["model"].with_suffix(".yaml").unlink(), "tiny.yaml"),
        (lambda s: s["matrix"].write_text(MATRIX.replace("class3", "klass3")), "did you mean 'class3'"),
        (lambda s: s["config"].write_text("grid: {resolution: 0}"), "grid.resolution is 0"),
        (lambda s: s.update(bag=s["bag"].parent / "none.mcap"), "no such file"),
        (lambda s: (s["out"].mkdir(), (s["out"] / "result.mcap").write_bytes(b"precious")), "exists already"),
    ],
)
def test_unusable_input_is_one_sentence_and_exit_code_2(
    setup: dict[str, Path], capsys: pytest.CaptureFixture[str], degrade, sentence: str
) -> None:
    degrade(setup)
    before = {path: path.read_bytes() for path in setup["out"].rglob("*")} if setup["out"].exists() else {}
    assert run(setup) == 2
    error = capsys.readouterr().err
    assert error.startswith("seg-perception: ") and sentence in error and len(error.strip().splitlines()) == 1
    after = {path: path.read_bytes() for path in setup["out"].rglob("*")} if setup["out"].exists() else {}
    assert before == after, "nothing was overwritten"


def test_the_grid_of_the_settings_is_the_grid_of_the_result(setup: dict[str, Path]) -> None:
    assert run(setup) == 0
    frame = next(iter(read_result(setup["out"] / "result.mcap")))
    settings = GridSettings(width=12.0, height=12.0)
    assert frame.costmap.shape == (settings.rows, settings.cols) and frame.resolution == pytest.approx(0.1)
    assert frame.stamp_ns >= START
    for origin in frame.origin_xy:
        assert origin / frame.resolution == pytest.approx(round(origin / frame.resolution), abs=1e-6)
    assert Camera.from_yaml(_calibration(setup["out"])).width == WIDTH
