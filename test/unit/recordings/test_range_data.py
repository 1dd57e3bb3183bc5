"""Depth images and point clouds of a recording: which frame gets which, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_networks
from support.small_bags import HEIGHT, SECOND, START, WIDTH, SmallBag, drive, image_stamp

from seg_perception.cli.__main__ import main
from seg_perception.errors import RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.projection.range.cloud_points import cloud_points
from seg_perception.recordings.readers.open_recording import Dropped, SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.simulation.drive_bag import write_drive

ALIGNED, CLOUD = "/camera/aligned_depth_to_color/image_raw", "/lidar/points"
METRES = np.float32([[0.0, 1.25, 2.5], [65.535, 0.001, 7.0]])


@pytest.mark.slow
def test_a_drive_with_depth_and_a_lidar_reads_back_and_both_measure_the_same_world(tmp_path: Path) -> None:
    camera = Camera.from_fields(160, 120, "plumb_bob", [120, 0, 79.5, 0, 120, 59.5, 0, 0, 1], [])
    scenario = Scenario(camera, seed=5, duration=0.2, fps=10.0, robot="pavement")
    write_drive(tmp_path / "drive", scenario, depth=True, points=True)
    with open_recording(str(tmp_path / "drive"), SourceOptions()) as recording:
        frames = [item for item in recording.frames() if isinstance(item, Frame)]
        assert recording.description["ranging"] == f"depth from {ALIGNED}, points from {CLOUD}"
        assert not recording.problems
    assert len(frames) == 2
    for frame, actual in zip(frames, Drive(scenario).frames(), strict=True):
        assert frame.depth is not None and frame.points is not None
        assert frame.depth.stamp_ns == frame.points.stamp_ns == frame.stamp_ns
        true_depth = np.where(actual.view.depth < 20, actual.view.depth, 0)
        np.testing.assert_allclose(frame.depth.metres, true_depth, atol=6e-4)
        footprint_from_odom = footprint_of(frame.odom_from_base).inverse()
        footprint_from_optical = footprint_from_odom @ frame.odom_from_base @ frame.base_from_optical
        footprint_from_lidar = footprint_from_odom @ frame.points.odom_from_sensor
        seen = cloud_points(
            frame.points.xyz, footprint_from_lidar, camera, footprint_from_optical, ProjectionSettings()
        )
        assert len(seen.xyz) > 1000
        u, v = np.rint(((seen.sample_points + 1) * [160, 120] - 1) / 2).astype(int).T
        z = footprint_from_optical.inverse().apply(seen.xyz)[:, 2]
        there = frame.depth.metres[v.clip(0, 119), u.clip(0, 159)]
        same = np.abs(there / z - 1) < 0.05
        assert same[seen.has_class & (there > 0)].mean() > 0.93, (
            "except at edges, where the centre of a pixel misses the object"
        )


def add_depth(bag: SmallBag, stamp_ns: int, metres: float, topic: str = ALIGNED, **changes: Any) -> None:
    data = np.full(HEIGHT * WIDTH, round(metres * 1000), np.uint16).view(np.uint8)
    bag.image(0, stamp_ns, topic=topic, encoding="16UC1", **{"step": 2 * WIDTH, "data": data, **changes})


def add_cloud(bag: SmallBag, stamp_ns: int, frame_id: str = "lidar", topic: str = CLOUD) -> None:
    name = "sensor_msgs/msg/PointCloud2"
    fields = [
        bag.make("sensor_msgs/msg/PointField", name=axis, offset=4 * index, datatype=7, count=1)
        for index, axis in enumerate("xyz")
    ]
    message = bag.make(
        name,
        header=bag.header(stamp_ns, frame_id),
        height=1,
        width=1,
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12,
        data=np.float32([1, 2, 3]).view(np.uint8),
        is_dense=True,
    )
    bag.add(topic, name, stamp_ns, message)


def frames_of(path: Path, options: SourceOptions | None = None) -> tuple[list[Frame | Dropped], Any]:
    with open_recording(str(path), options or SourceOptions()) as recording:
        return list(recording.frames()), recording


@pytest.mark.parametrize("kind", ["mcap", "bag"])
def test_each_image_gets_the_depth_and_points_next_to_it_in_time_with_the_pose_at_their_own_stamp(
    tmp_path: Path, kind: str
) -> None:
    bag = drive(kind, count=4)
    bag.transform("base_link", "lidar", START, (0.2, 0, 1.5), topic="/tf_static")
    for index in range(4):
        add_depth(bag, image_stamp(index) - 3 * 10**7, 1.0 + index)
        add_depth(bag, image_stamp(index) + 2 * 10**7, 5.0 + index)
        add_cloud(bag, image_stamp(index) - 10**7)
    frames, recording = frames_of(bag.write(tmp_path, kind))
    assert len(frames) == 4 and not recording.problems
    for index, frame in enumerate(frames):
        assert frame.depth.metres[3, 3] == pytest.approx(5.0 + index)
        assert frame.depth.stamp_ns == frame.stamp_ns + 2 * 10**7
        assert frame.points.xyz.tolist() == [[1.0, 2.0, 3.0]]
        seconds = (frame.points.stamp_ns - START) / SECOND
        expected = Transform.from_xyz_rpy(2 * seconds, 0, 0, 0, 0, 0.1 * seconds).apply(np.array([0.2, 0, 1.5]))
        np.testing.assert_allclose(frame.points.odom_from_sensor.translation, expected, atol=1e-3)
        moved = frame.depth.odom_from_optical.translation - (frame.odom_from_base @ frame.base_from_optical).translation
        assert moved[0] == pytest.approx(0.04, abs=2e-3), "2 m/s for 20 ms"


def test_depth_not_known_to_be_aligned_and_one_of_several_clouds_must_be_named(tmp_path: Path) -> None:
    bag = drive(count=2)
    for topic in ("/lidar/front", "/lidar/back"):
        add_cloud(bag, image_stamp(0), "camera_optical", topic)
    add_depth(bag, image_stamp(0), 2.0, "/stereo/depth")
    path = bag.write(tmp_path)
    pictures = SourceOptions(image_topics=("/camera/image_raw",))
    frames, recording = frames_of(path, pictures)
    assert frames[0].depth is None and frames[0].points is None
    assert recording.description["ranging"] == "none: flat ground"
    named = SourceOptions(depth_topic="/stereo/depth", points_topic="/lidar/back")
    frames, _ = frames_of(path, named)
    assert frames[0].depth.metres[0, 0] == 2.0 and frames[0].points is not None
    with pytest.raises(
        RecordingError, match=r"nothing on /camera/depth for --depth-topic; .*: /camera/image_raw, /ster"
    ):
        frames_of(path, SourceOptions(depth_topic="/camera/depth"))
    with pytest.raises(RecordingError, match="of that kind: /lidar/back, /lidar/front"):
        frames_of(path, SourceOptions(points_topic="/camera/image_raw"))


def test_unreadable_and_unplaced_messages_are_counted_and_no_image_is_lost(tmp_path: Path) -> None:
    bag = drive(count=3)
    for index in range(3):
        add_cloud(bag, image_stamp(index), "a frame that no transform knows")
        add_depth(bag, image_stamp(index), 2.0, **({"step": 5} if index == 1 else {}))
    frames, recording = frames_of(bag.write(tmp_path))
    assert [frame.depth is None for frame in frames] == [False, True, False]
    assert [frame.points for frame in frames] == [None] * 3
    assert recording.problems == {f"unplaced messages on {CLOUD}": 3, f"unreadable messages on {ALIGNED}": 1}


def test_depth_with_another_frame_id_than_the_images_is_not_used(tmp_path: Path) -> None:
    bag = drive(count=2)
    add_depth(bag, image_stamp(0), 2.0, frame_id="depth_optical")
    add_depth(bag, image_stamp(1), 2.0, frame_id="/camera_optical")
    frames, recording = frames_of(bag.write(tmp_path))
    assert [frame.depth is None for frame in frames] == [True, False]
    assert recording.problems == {f"messages of another frame than the images on {ALIGNED}": 1}


def test_an_image_does_not_wait_for_a_sensor_that_has_stopped(tmp_path: Path) -> None:
    bag = drive(count=8)
    add_depth(bag, image_stamp(0), 2.0)
    frames, _ = frames_of(bag.write(tmp_path))
    assert [frame.stamp_ns for frame in frames] == [image_stamp(index) for index in range(8)]
    assert frames[7].depth.stamp_ns == image_stamp(0), "old; the pipeline refuses it"


def test_the_summary_of_a_replay_counts_the_projections(tmp_path: Path) -> None:
    bag = drive(count=6)
    rows = np.arange(HEIGHT)[:, np.newaxis].repeat(WIDTH, axis=1)
    flat = np.where(rows > 24, 1.2 * 50.0 / np.maximum(rows - 23.5, 1), 0)
    for index in range(3):
        add_depth(bag, image_stamp(index), 0.0, data=np.rint(flat * 1000).astype(np.uint16).view(np.uint8).ravel())
    files = {
        "--model": tiny_networks.save(tmp_path, tiny_networks.network(), tiny_networks.card()),
        "--matrix": tmp_path / "matrix.yaml",
        "--config": tmp_path / "config.yaml",
        "--out": tmp_path / "out",
    }
    files["--matrix"].write_text(
        "misclassification: {default: 1, correct: 0}\n"
        "traverse: {class0: 0, class1: 50, class2: 100, class3: 400, class4: 2000}\nstanding: [class4]\nignore: []\n",
        encoding="utf-8",
    )
    files["--config"].write_text("ground: {max_range: 5.0, max_samples: 500}\n", encoding="utf-8")
    arguments = [str(text) for pair in files.items() for text in pair]
    assert main(["replay", str(bag.write(tmp_path)), *arguments]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["projections"]["used"] == {"depth": 3, "plane": 3}
    assert summary["projections"]["refused"] == {"no point cloud": 6, "depth image of another time than the image": 3}
