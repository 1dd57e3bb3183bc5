"""A bag with several cameras: read in the order of the stamps, and replayed into one costmap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_networks as tiny

from seg_perception.cli.__main__ import main
from seg_perception.errors import RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.recordings.readers.open_recording import Dropped, SourceOptions, open_recording
from seg_perception.recordings.result_bag.reader import read_result
from seg_perception.sensor_data.frame import Frame
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.simulation.drive_bag import write_drive
from seg_perception.simulation.rendering.render import render

FRONT, LEFT = "/camera/image_raw", "/left/image_raw"
LEFT_MOUNT = (0.2, 0.2, 1.0, 0.0, 0.3, 1.57)
WIDTH, HEIGHT = 64, 48
SCENARIO = Scenario(
    Camera.from_fields(WIDTH, HEIGHT, "plumb_bob", [48.0, 0, 31.5, 0, 48.0, 23.5, 0, 0, 1], [0.0] * 5),
    seed=4,
    duration=0.4,
    fps=10.0,
    robot="pavement",
)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bag") / "drive"
    write_drive(path, SCENARIO, depth=True, more_cameras={"left": LEFT_MOUNT})
    return path


def _read(bag: Path, *topics: str, skip: int = 0, **options: Any) -> list[Frame]:
    with open_recording(str(bag), SourceOptions(image_topics=topics, **options)) as recording:
        items = list(recording.frames(skip))
    assert not any(isinstance(item, Dropped) for item in items)
    return [item for item in items if isinstance(item, Frame)]


def test_frames_of_both_are_in_the_order_of_their_stamps_with_their_own_extrinsics(bag: Path) -> None:
    frames = _read(bag, FRONT, LEFT)
    assert [frame.frame_id for frame in frames[:4]] == ["camera_optical_frame", "left_optical_frame"] * 2
    expected = [stamp + offset for stamp in SCENARIO.stamps_ns for offset in (0, 1)]
    assert [frame.stamp_ns for frame in frames] == expected, "no two results at the same time"
    drive, mount = Drive(SCENARIO), mount_to_base_from_optical(*LEFT_MOUNT)
    for frame, actual in zip(frames[1::2], drive.frames(), strict=True):
        np.testing.assert_allclose(frame.base_from_optical.translation, mount.translation, atol=1e-9)
        np.testing.assert_allclose(frame.base_from_optical.rotation, mount.rotation, atol=1e-9)
        pose = actual.odom_from_base @ mount
        view = render(actual.world, SCENARIO.camera, pose, frame=actual.stamp_ns % 2**31)
        assert np.array_equal(frame.image, view.rgb)


def test_depth_belongs_to_the_camera_of_its_namespace(bag: Path) -> None:
    front, left = _read(bag, FRONT, LEFT)[:2]
    assert front.depth is not None and left.depth is None


def test_skipping_resumes_where_another_reading_stopped(bag: Path) -> None:
    whole, rest = _read(bag, FRONT, LEFT), _read(bag, FRONT, LEFT, skip=3)
    assert [frame.stamp_ns for frame in rest] == [frame.stamp_ns for frame in whole[3:]]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(rest, whole[3:], strict=True))


@pytest.mark.parametrize(
    ("topics", "options", "words"),
    [
        ((FRONT, LEFT), {"mount": Transform.identity()}, "--mount is for one camera"),
        ((FRONT, LEFT), {"camera": SCENARIO.camera}, "--camera is for one camera"),
        ((FRONT, LEFT), {"poses": "none"}, "without poses of the robot"),
        ((FRONT, FRONT), {}, "names a topic twice"),
        ((FRONT, "/rear/image_raw"), {}, "there is no /rear/image_raw"),
    ],
)
def test_options_that_several_cameras_cannot_share_are_refused(
    bag: Path, topics: tuple[str, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(RecordingError, match=words):
        _read(bag, *topics, **options)


def test_a_replay_fuses_both_into_one_costmap(bag: Path, tmp_path: Path) -> None:
    model = tiny.save(tmp_path, tiny.network(), tiny.card(5, WIDTH, HEIGHT))
    (tmp_path / "matrix.yaml").write_text(
        "misclassification: {default: 1, correct: 0}\n"
        "traverse: {class0: 0, class1: 50, class2: 100, class3: 200, class4: 200}\n"
        "standing: []\nignore: []\n",
        encoding="utf-8",
    )
    (tmp_path / "config.yaml").write_text(
        "ground: {max_range: 5.0, max_samples: 2000}\ngrid: {width: 12.0, height: 12.0, min_evidence: 0.02}\n"
        "projection: {mode: plane}\n",
        encoding="utf-8",
    )
    out = {name: tmp_path / name for name in ("front", "left", "both")}
    for name, topics in (("front", [FRONT]), ("left", [LEFT]), ("both", [FRONT, LEFT])):
        named = [word for topic in topics for word in ("--image-topic", topic)]
        files = ["--model", model, "--matrix", tmp_path / "matrix.yaml", "--config", tmp_path / "config.yaml"]
        assert main(["replay", str(bag), *named, *map(str, files), "--out", str(out[name])]) == 0
    known = {name: list(read_result(path / "result.mcap"))[-1].costmap >= 0 for name, path in out.items()}
    assert not (known["front"] & known["left"]).all()
    assert np.array_equal(known["both"], known["front"] | known["left"])
    summary = json.loads((out["both"] / "summary.json").read_text())
    assert summary["frames"] == {"in": 8, "out": 8, "dropped": {}}
    assert LEFT in summary["input"]["images"] and FRONT in summary["input"]["images"]
