"""The node as its own process, over real DDS: what it does with a robot that works, and with one that does not."""

from __future__ import annotations

import array
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support import node_process as ros_support

ros_support.isolate()

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from support.node_process import NodeProcess
from support.robot import (
    ERROR,
    GRASS,
    HEIGHT,
    LATCHED,
    ROAD,
    WALL,
    WARN,
    WIDTH,
    Robot,
    cells,
    nanoseconds,
    values,
    write_model,
)

from seg_perception.ros.messages import label_info_type


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def parameters(folder: Path) -> dict[str, Any]:
    return write_model(folder)


@pytest.fixture(scope="module")
def process(folder: Path, parameters: dict[str, Any]) -> Iterator[NodeProcess]:
    with NodeProcess(folder / "log", parameters={**parameters, "stale_after": 0.6}) as started:
        yield started
        assert started.returncode is None, f"the node has died:\n{started.output}"
        assert started.interrupt() == 0


@pytest.fixture(scope="module")
def running(process: NodeProcess) -> Iterator[Robot]:
    with Robot() as robot:
        robot.activate()
        yield robot


@pytest.fixture
def robot(running: Robot) -> Robot:
    """A robot whose node works, with an empty grid but for one image that has just become a costmap."""
    running.change("deactivate", "activate")
    for heard in running.heard.values():
        heard.clear()
    running.drive()
    return running


def share(costmap: np.ndarray, low: int, high: int) -> float:
    known = costmap[costmap >= 0]
    assert known.size
    return float(((known >= low) & (known <= high)).mean())


def test_colours_become_costs_where_the_camera_looks(robot: Robot) -> None:
    costmap = robot.drive(ROAD)
    assert share(costmap, 0, 7) == 1.0, "road is next to free"
    rows, cols = np.nonzero(costmap >= 0)
    assert cols.min() > 50 and abs(rows.mean() - 50) < 3, "and lies before the robot, in the middle of the grid"
    robot.change("deactivate", "activate")
    grass = robot.drive(GRASS)
    assert 47 <= np.median(grass[grass >= 0]) <= 50, "120 of 254 nav2 units, rounded up, and a little caution"


def test_labels_have_the_cameras_size_and_keep_its_header(robot: Robot) -> None:
    robot.listen(Image, "labels")
    robot.listen(Image, "expected_cost")
    robot.listen(Image, "confidence")
    robot.listen(Image, "overlay")
    robot.listen(DiagnosticArray, "latency")
    robot.spin(0.5)
    image = robot.image(GRASS)
    robot.send(image)
    robot.costmap_at(nanoseconds(image.header.stamp))
    outputs = ("labels", "expected_cost", "confidence", "overlay", "latency")
    robot.wait(lambda: all(robot.heard[name] for name in outputs), "every output")
    for name in outputs[:3]:
        message = robot.heard[name][-1]
        assert (message.width, message.height, message.encoding, message.step) == (WIDTH, HEIGHT, "mono8", WIDTH)
        assert message.header == image.header
    assert set(robot.heard["labels"][-1].data) == {1}
    assert set(robot.heard["expected_cost"][-1].data) == {120}
    assert min(robot.heard["confidence"][-1].data) >= 254
    assert robot.heard["overlay"][-1].encoding == "bgr8"
    stages = {entry.key: float(entry.value) for entry in robot.heard["latency"][-1].status[0].values}
    assert {"receive", "wait", "decode", "transform", "network and risk", "publish", "total"} <= set(stages)
    parts = sum(value for stage, value in stages.items() if stage != "total")
    assert parts <= stages["total"] + 0.5, "from the stamp to publication nothing is counted twice"


def test_expected_cost_comes_as_float_when_asked_for(robot: Robot) -> None:
    robot.listen(Image, "expected_cost")
    robot.spin(0.3)
    assert robot.set(expected_cost_encoding="32FC1") == ""
    robot.drive(GRASS)
    message = robot.wait(
        lambda: next((each for each in robot.heard["expected_cost"] if each.encoding == "32FC1"), None), "32FC1"
    )
    assert np.frombuffer(message.data, np.float32).tolist() == [120.0] * (WIDTH * HEIGHT)
    assert robot.set(expected_cost_encoding="mono8") == ""


def test_a_late_subscriber_gets_the_latched_costmap_and_what_the_labels_mean(robot: Robot) -> None:
    with Robot("latecomer") as late:
        late.listen(label_info_type(), "label_info", LATCHED)
        grid = late.wait(lambda: late.heard["costmap"], "the latched costmap")[0]
        assert grid.header.frame_id == "odom" and (grid.info.width, grid.info.height) == (100, 100)
        info = late.wait(lambda: late.heard["label_info"], "label_info")[0]
    if label_info_type() is String:
        content = json.loads(info.data)
        assert content["classes"] == ["road", "grass", "wall"] and content["costs"] == [0, 120, 1000]
    else:
        assert [entry.class_name for entry in info.class_map] == ["road", "grass", "wall"]


def test_the_origin_is_snapped_to_cells_and_the_size_never_changes(robot: Robot) -> None:
    for x in (0.0, 0.33, 7.07, 7.77):
        robot.spin(0.05)
        image = robot.image()
        robot.send(image, x)
        grid = robot.costmap_at(nanoseconds(image.header.stamp))
        column = grid.info.origin.position.x / grid.info.resolution
        assert abs(column - round(column)) < 1e-4 and abs(grid.info.origin.position.x + 5.0 - x) <= 0.101
        assert (grid.info.width, grid.info.height) == (100, 100)


def test_updates_hold_the_cells_that_have_changed(robot: Robot) -> None:
    maps = pytest.importorskip("map_msgs.msg", reason="map_msgs is not installed; it comes with a ROS distribution")
    robot.listen(maps.OccupancyGridUpdate, "costmap_updates")
    robot.spin(0.5)
    before = robot.drive(ROAD)
    robot.spin(0.05)
    image = robot.image(WALL)
    robot.send(image)
    stamp_ns = nanoseconds(image.header.stamp)
    after = cells(robot.costmap_at(stamp_ns))

    def found() -> Any:
        return next(
            (each for each in robot.heard["costmap_updates"] if nanoseconds(each.header.stamp) == stamp_ns), None
        )

    update = robot.wait(found, "its update")
    followed = before.copy()
    block = np.array(update.data, np.int8).reshape(update.height, update.width)
    followed[update.y : update.y + update.height, update.x : update.x + update.width] = block
    np.testing.assert_array_equal(followed, after)
    assert block.size < after.size


# -- images that are none ------------------------------------------------------------------------------------------


def jpeg(stamp_ns: int) -> CompressedImage:
    content = cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
    message = CompressedImage(format="jpeg", data=array.array("B", content))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


BROKEN: dict[str, tuple[Callable[[Robot], Any], str, str]] = {
    "an unknown encoding": (lambda r: r.image(encoding="flir16"), "cannot be decoded", "flir16"),
    "no encoding": (lambda r: r.image(encoding=""), "cannot be decoded", "encoding"),
    "too few bytes": (lambda r: r.image(data=array.array("B", bytes(100))), "cannot be decoded", "must hold"),
    "too many bytes": (
        lambda r: r.image(data=array.array("B", bytes(3 * WIDTH * HEIGHT + 1))), "cannot be decoded", "must hold",
    ),
    "no bytes": (lambda r: r.image(data=array.array("B")), "cannot be decoded", "must hold"),
    "no pixels": (lambda r: r.image(width=0, height=0), "cannot be decoded", "no picture"),
    "a step of 0": (lambda r: r.image(step=0), "cannot be decoded", "step"),
    "a step below a row": (lambda r: r.image(step=WIDTH), "cannot be decoded", "step"),
    "a size that lies": (lambda r: r.image(width=2**31, height=2**31), "cannot be decoded", "check its publisher"),
    "another size than its camera_info": (
        lambda r: r.image(height=HEIGHT // 2, data=array.array("B", bytes(3 * WIDTH * HEIGHT // 2))),
        "size differs from camera_info",
        "64x24",
    ),
    "no stamp": (lambda r: r.image(stamp_ns=0), "no stamp", "header.stamp is 0"),
    "an old stamp": (lambda r: r.image(stamp_ns=r.now_ns() - 5 * 10**9), "too old", "max_image_age"),
    "a stamp of last year": (lambda r: r.image(stamp_ns=r.now_ns() - 10**16), "too old", "use_sim_time"),
    "a stamp ahead": (lambda r: r.image(stamp_ns=r.now_ns() + 10**9), "from the future", "ahead"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_counted_with_its_reason_and_the_next_good_one_works(robot: Robot, name: str) -> None:
    make, reason, words = BROKEN[name]
    robot.heard["costmap"].clear()
    status = robot.diagnosis(words, meanwhile=lambda: robot.send(make(robot)), level=ERROR)
    assert int(values(status)[f"dropped: {reason}"]) > 0
    assert all((cells(grid) == -1).all() for grid in robot.heard["costmap"]), "nothing is claimed meanwhile"
    assert share(robot.drive(), 0, 7) == 1.0


def test_an_image_that_is_overtaken_by_a_newer_one_is_dropped_and_told(robot: Robot) -> None:
    def both() -> None:
        image = robot.image()
        robot.send(image)
        robot.spin(0.05)
        robot.send(robot.image(WALL, nanoseconds(image.header.stamp) - 10_000_000))

    status = robot.diagnosis("out of order", both, level=WARN)
    assert "before the last one's" in status.message
    assert share(robot.drive(), 0, 7) == 1.0, "nothing of the old images is in the grid"


# -- odometry and calibration --------------------------------------------------------------------------------------


def odometry_of_nan(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.pose.pose.position.x = float("nan")
    return message


def odometry_without_rotation(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.pose.pose.orientation.w = 0.0
    return message


def odometry_of_a_wheel(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.child_frame_id = "left_wheel"
    return message


def odometry_in_the_map(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.header.frame_id = "map"
    return message


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (odometry_of_nan, "finite"),
        (odometry_without_rotation, "quaternion"),
        (odometry_of_a_wheel, "'left_wheel'"),
        (odometry_in_the_map, "'map'"),
    ],
)
def test_broken_odometry_drops_images_with_the_reason(
    robot: Robot, make: Callable[[Robot, int], Odometry], words: str
) -> None:
    def send() -> None:
        image = robot.image()
        robot.odometry.publish(make(robot, nanoseconds(image.header.stamp)))
        robot.images.publish(image)

    status = robot.diagnosis(words, meanwhile=send, level=ERROR)
    assert int(values(status)["dropped: no transform"]) > 0
    robot.spin(0.3)  # the image that still waits for a transform
    assert share(robot.drive(), 0, 7) == 1.0


def test_odometry_that_has_stopped_is_named(robot: Robot) -> None:
    status = robot.diagnosis("not known at", meanwhile=lambda: robot.images.publish(robot.image()), level=ERROR)
    assert "/odometry" in status.message
    robot.spin(0.3)  # the image that still waits for a transform
    assert share(robot.drive(), 0, 7) == 1.0


def test_odometry_that_comes_late_but_in_time_is_waited_for(robot: Robot) -> None:
    image = robot.image()
    stamp_ns = nanoseconds(image.header.stamp)
    robot.odometry.publish(robot.pose(stamp_ns - 10_000_000))
    robot.images.publish(image)
    robot.spin(0.1)
    robot.odometry.publish(robot.pose(stamp_ns + 10_000_000))
    assert share(cells(robot.costmap_at(stamp_ns)), 0, 7) == 1.0


def test_an_uncalibrated_camera_is_told_and_a_calibrated_one_works_again(robot: Robot) -> None:
    status = robot.diagnosis(
        "not calibrated", lambda: robot.send(robot.image(), info=robot.info(focal=0.0)), level=ERROR
    )
    assert "/camera_info" in status.message
    assert share(robot.drive(), 0, 7) == 1.0


def test_a_new_calibration_moves_what_is_seen(robot: Robot) -> None:
    wide = robot.drive()
    robot.change("deactivate", "activate")
    robot.infos.publish(robot.info(focal=3.0 * WIDTH))
    robot.spin(0.2)
    image = robot.image()
    robot.send(image, info=robot.info(focal=3.0 * WIDTH))
    narrow = cells(robot.costmap_at(nanoseconds(image.header.stamp)))
    assert (narrow >= 0).sum() < 0.5 * (wide >= 0).sum(), "a longer lens sees less ground"


def test_a_robot_that_jumps_in_odom_starts_with_an_empty_grid(robot: Robot) -> None:
    robot.drive(WALL, x=0.0)
    robot.spin(0.1)
    robot.drive(ROAD, x=500.0)
    back = robot.drive(ROAD, x=0.0)
    assert share(back, 0, 7) == 1.0, "no wall is left of before the jump"


# -- silence -------------------------------------------------------------------------------------------------------


def blank(robot: Robot, action: Callable[[], Any] = lambda: None) -> tuple[np.ndarray, np.ndarray, float]:
    """The costmap before and after the silence, and how long the silence was, s."""
    last = robot.drive()
    start = robot.now_ns()
    robot.heard["costmap"].clear()
    action()
    grid = robot.wait(lambda: robot.heard["costmap"], "the costmap to be taken back")[-1]
    return last, cells(grid), (nanoseconds(grid.header.stamp) - start) / 1e9


def test_a_silent_camera_makes_the_whole_costmap_unknown_in_time(robot: Robot) -> None:
    last, after, seconds = blank(robot)
    assert (last >= 0).any() and (after == -1).all()
    assert 0.4 < seconds < 0.6 + 0.6
    robot.diagnosis("no image came", level=ERROR)
    assert share(robot.drive(), 0, 7) == 1.0, "and recovers by itself"


def test_a_silent_camera_makes_the_field_of_view_lethal_if_asked_to(robot: Robot) -> None:
    assert robot.set(stale_cost="lethal") == ""
    last, after, _ = blank(robot)
    assert (after[last >= 0] == 100).all() and set(np.unique(after)) == {-1, 100}
    assert robot.set(stale_cost="unknown") == ""


# -- parameters and lifecycle --------------------------------------------------------------------------------------


def test_single_costs_and_the_risk_level_change_while_driving(robot: Robot) -> None:
    assert robot.set(cost_overrides=["traverse.road: 200"]) == ""
    assert share(robot.drive(), 75, 82) == 1.0
    assert robot.set(cost_overrides=[""], risk__alpha=0.95) == ""
    assert robot.drive().max() > 7, "CVaR looks at the dearest 5 %"
    assert robot.set(risk__alpha=-1.0) == ""
    assert share(robot.drive(), 0, 7) == 1.0


def test_a_matrix_is_swapped_without_a_frame_lost(robot: Robot, folder: Path, parameters: dict[str, Any]) -> None:
    dear = folder / "dear.yaml"
    dear.write_text(Path(parameters["cost_matrix"]).read_text().replace("road: 0", "road: 100"))
    robot.listen(Image, "labels")
    robot.spin(0.3)
    robot.heard["costmap"].clear()
    robot.heard["labels"].clear()
    sent = []
    for number in range(30):
        image = robot.image()
        robot.send(image)
        sent.append(nanoseconds(image.header.stamp))
        robot.spin(0.05)
        if number == 15:
            assert robot.set(cost_matrix=str(dear)) == ""
    try:
        robot.costmap_at(sent[-1])
        assert [nanoseconds(labels.header.stamp) for labels in robot.heard["labels"]] == sent
        medians = {
            nanoseconds(grid.header.stamp): np.median(cells(grid)[cells(grid) >= 0]) for grid in robot.heard["costmap"]
        }
        before, after = ([medians[stamp] for stamp in part if stamp in medians] for part in (sent[:15], sent[17:]))
        assert max(before) <= 7 and min(after) >= 39
    finally:
        assert robot.set(cost_matrix=parameters["cost_matrix"]) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cost_matrix": "/nowhere.yaml"}, "nowhere.yaml"),
        ({"cost_overrides": ["traverse.mud: 3"]}, "mud"),
        ({"ground__max_range": 0.2}, "max_range"),
        ({"stale_cost": "free"}, "stale_cost"),
        ({"grid__width": 30.0}, "read"),
        ({"risk__lethal_at": 400.0}, "lethal_at"),
    ],
)
def test_a_bad_change_is_refused_with_a_sentence_and_the_old_value_stays(
    robot: Robot, change: dict[str, Any], words: str
) -> None:
    assert words in robot.set(**change)
    assert share(robot.drive(), 0, 7) == 1.0


def test_a_transition_that_cannot_be_made_does_no_harm(robot: Robot, process: NodeProcess) -> None:
    assert not robot.try_transition("cleanup"), "an active node cannot be cleaned up"
    assert process.returncode is None
    assert share(robot.drive(), 0, 7) == 1.0


def test_deactivating_takes_the_costmap_back_and_activating_starts_anew(robot: Robot) -> None:
    robot.drive()
    robot.heard["costmap"].clear()
    assert robot.change_state("deactivate")
    grid = robot.wait(lambda: robot.heard["costmap"], "the last word")[-1]
    assert (cells(grid) == -1).all()
    assert robot.change_state("cleanup") and robot.state() == "unconfigured"
    robot.activate()
    assert share(robot.drive(), 0, 7) == 1.0


# -- starting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "/nowhere.onnx"}, "nowhere.onnx"),
        ({"cost_matrix": "/nowhere.yaml"}, "nowhere.yaml"),
        ({"mount": "[]"}, "parameter 'mount' is empty"),
        ({"cost_overrides": "['traverse.mud: 3']"}, "mud"),
        ({"ground.min_range": 5.0}, "max_range"),
    ],
)
def test_a_failed_configure_says_why_and_leaves_the_node_unconfigured(
    tmp_path: Path, parameters: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    name = f"other_{abs(hash(words)) % 1000}"
    with (
        NodeProcess(tmp_path / "log", parameters={**parameters, **changes}, remaps={"__node": name}) as process,
        Robot("operator", name) as robot,
    ):
        assert not robot.change_state("configure")
        assert robot.state() == "unconfigured"
        assert "not configured" in process.output and words in process.output
        assert process.interrupt() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"stale_after": "soon"}, "stale_after"), ({"threads": -3}, "threads"), ({"mount": "[1, 2.0]"}, "mount")],
)
def test_a_parameter_of_the_wrong_kind_ends_the_start_with_a_sentence(
    tmp_path: Path, parameters: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with NodeProcess(tmp_path / "log", parameters={**parameters, **changes}) as process:
        assert process.wait() == 2
        assert words in process.output and "Traceback" not in process.output


def test_a_clock_that_is_set_back_empties_the_grid_and_says_so(tmp_path: Path, parameters: dict[str, Any]) -> None:
    settings = {**parameters, "use_sim_time": True, "stale_after": 5.0, "grid.half_life": 60.0}
    with (
        NodeProcess(tmp_path / "log", parameters=settings, remaps={"__node": "simulated"}) as process,
        Robot("simulator", "simulated") as robot,
    ):
        clocks = robot.node.create_publisher(Clock, "/clock", 10)
        robot.activate()

        def show(stamp_ns: int, colour: tuple[int, int, int]) -> np.ndarray:
            for offset in (0, 30_000_000):
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(stamp_ns + offset, 10**9)
                clocks.publish(message)
                robot.infos.publish(robot.info())
                robot.spin(0.1)
            robot.send(robot.image(colour, stamp_ns))
            return cells(robot.costmap_at(stamp_ns))

        assert share(show(100 * 10**9, WALL), 100, 100) > 0
        both = show(101 * 10**9, ROAD)
        assert both.max() > 20, "the wall of a second ago is remembered"
        robot.heard["costmap"].clear()
        assert share(show(50 * 10**9, ROAD), 0, 7) == 1.0, "but not the wall of a time to come"
        assert "clock was set by -5" in process.output


def test_compressed_images_are_taken_when_asked_for(tmp_path: Path, parameters: dict[str, Any]) -> None:
    settings = {**parameters, "image_transport": "compressed"}
    with (
        NodeProcess(tmp_path / "log", parameters=settings, remaps={"__node": "compressed"}) as process,
        Robot("streamer", "compressed") as robot,
    ):
        robot.activate()
        robot.infos.publish(robot.info())
        robot.spin(0.1)

        def cut() -> CompressedImage:
            message = jpeg(robot.now_ns())
            message.data = message.data[: len(message.data) // 2]
            return message

        robot.diagnosis("cannot be decoded", lambda: robot.send(cut()), level=ERROR)
        message = jpeg(robot.now_ns())
        robot.send(message)
        robot.costmap_at(nanoseconds(message.header.stamp))
        assert process.returncode is None
