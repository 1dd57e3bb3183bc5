"""The content of the report: lossless images, correct figures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.drive_to_report import FRAMES, HEIGHT, INFO, MOST_DIFFERENT, SUMMARY, WIDTH, make_frame, write_drive

from seg_perception.errors import RecordingError
from seg_perception.recordings.result_bag.reader import ResultFrame
from seg_perception.report import write_report
from seg_perception.report.content import collect, evenly
from seg_perception.report.embed import embed_frame


def values_of(url: str) -> NDArray[np.uint8]:
    header, text = url.split(",")
    assert header.startswith("data:image/")
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def content_of(frames: int = FRAMES, max_frames: int = 120) -> dict[str, Any]:
    return collect(lambda: map(make_frame, range(frames)), INFO, SUMMARY, max_frames)


def test_embedded_images_are_lossless() -> None:
    frame = make_frame(2)
    embedded = embed_frame(frame)
    np.testing.assert_array_equal(values_of(embedded["labels"]), frame.labels)
    np.testing.assert_array_equal(values_of(embedded["mostProbable"]), frame.most_probable)
    np.testing.assert_array_equal(values_of(embedded["confidence"]), frame.confidence[::2, ::2])
    np.testing.assert_array_equal(values_of(embedded["cost"]), frame.expected_cost[::2, ::2])
    np.testing.assert_array_equal(values_of(embedded["costmap"]).view(np.int8), frame.costmap)


def test_a_camera_image_that_is_not_a_jpeg_is_reported() -> None:
    frame = make_frame(0)
    broken = ResultFrame(**{**vars(frame), "camera_jpeg": b"no picture"})
    with pytest.raises(RecordingError, match=r"1700000000000000000 ns .* not a JPEG"):
        embed_frame(broken)


def test_120_frames_of_a_real_drive_stay_below_15_megabytes(real_data: Path) -> None:
    image = cv2.imread(str(sorted((real_data / "camvid/val/images").iterdir())[0]))
    labels = cv2.imread(str(sorted((real_data / "camvid/val/labels").iterdir())[0]), cv2.IMREAD_GRAYSCALE)
    # Cost and confidence as noisy as a network's: blurred edges, and a ripple on every surface.
    ripple = cv2.resize(np.random.default_rng(0).random((45, 60), dtype=np.float32), labels.shape[::-1])
    noisy = (np.clip(cv2.GaussianBlur(labels * 20.0, (0, 0), 3) + 60 * ripple, 0, 254)).astype(np.uint8)
    fields = {**vars(make_frame(0)), "camera_jpeg": cv2.imencode(".jpg", image)[1].tobytes()}
    planes = {"labels": labels, "most_probable": labels, "confidence": noisy, "expected_cost": noisy}
    costmap = np.random.default_rng(0).integers(-1, 101, (100, 100), dtype=np.int8)
    embedded = embed_frame(ResultFrame(**{**fields, **planes, "costmap": costmap}))
    assert 120 * len(json.dumps(embedded)) < 15e6


@pytest.mark.parametrize("total", [0, 1, 5, 120, 121, 4321])
def test_frames_are_chosen_evenly_with_both_ends(total: int) -> None:
    kept = evenly(total, 120)
    assert len(kept) == min(total, 120)
    assert len(set(kept)) == len(kept)
    if total:
        assert (kept[0], kept[-1]) == (0, total - 1)
        assert max(np.diff(kept), default=1) - min(np.diff(kept), default=1) <= 1


def test_curves_cover_every_frame_even_without_images() -> None:
    content = content_of(max_frames=3)
    assert [frame["index"] for frame in content["frames"]] == [0, 2, 5]
    assert content["curves"]["index"] == list(range(FRAMES))
    np.testing.assert_allclose(content["curves"]["seconds"], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert content["curves"]["latency"][5] == {"network": 20.0, "grid": 2.0}


def test_changed_decisions_are_counted_like_pixel_by_pixel() -> None:
    content = content_of()
    counts: dict[tuple[int, int], int] = {}
    labelled = 0
    for index in range(FRAMES):
        frame = make_frame(index)
        differing = 0
        for probable, decided in zip(frame.most_probable.flat, frame.labels.flat, strict=True):
            labelled += decided != 255
            if probable != decided:
                differing += 1
                counts[int(probable), int(decided)] = counts.get((int(probable), int(decided)), 0) + 1
        assert content["curves"]["differ"][index] == pytest.approx(differing / (WIDTH * HEIGHT))
    assert int(np.argmax(content["curves"]["differ"])) == MOST_DIFFERENT
    shares = {(pair["probable"], pair["decided"]): pair["share"] for pair in content["pairs"]}
    assert shares == pytest.approx({pair: count / labelled for pair, count in counts.items()})
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_the_view_contains_every_known_cell_of_every_frame() -> None:
    view = content_of()["view"]
    half = 3.5 * 0.25 * np.sqrt(2) + 0.25
    assert view["forward"][0] < 0.0 < 3.0 + half / 2 < view["forward"][1] < 3.0 + 2 * half
    assert view["left"][0] < 0.0 < 1.0 + half / 2 < view["left"][1] < 1.0 + 2 * half


def test_a_failed_report_keeps_the_old_one(tmp_path: Path) -> None:
    old = tmp_path / "report.html"
    old.write_text("old")
    with pytest.raises(RecordingError):
        write_report(tmp_path / "missing.mcap", SUMMARY, old)
    assert old.read_text() == "old"
    with pytest.raises(RecordingError, match=r"nowhere/report\.html: cannot be written"):
        write_report(write_drive(tmp_path), SUMMARY, tmp_path / "nowhere" / "report.html")


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("drives/monday.mcap", "monday"),
        ("drives/2024.05.01", "2024.05.01"),
        ("/data/kitti/image_02/*.png", "image_02"),
        ("/data/seq[0-9]/img*.png", "data"),
        ("/*.png", "images"),
    ],
)
def test_the_title_is_the_name_of_the_recording(path: str, title: str) -> None:
    summary = {**SUMMARY, "input": {"path": path}}
    assert collect(lambda: map(make_frame, range(1)), INFO, summary, 1)["title"] == title
