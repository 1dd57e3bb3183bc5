"""The node's parameters as a robot's owner meets them: a real node, and a second one that asks through the services."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.ros import node_process as ros_support

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.parameters import declaration
from seg_perception.ros.parameters.node_settings import NodeSettings, load_matrix
from seg_perception.ros.parameters.table import PARAMETERS
from seg_perception.utils.package_files import find

FILE = Path(__file__).parents[3] / "config" / "perception.yaml"
CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
    "Bicyclist", "Grass",
)  # fmt: skip
TYPES = {
    "string": ParameterType.PARAMETER_STRING,
    "integer": ParameterType.PARAMETER_INTEGER,
    "double": ParameterType.PARAMETER_DOUBLE,
    "string array": ParameterType.PARAMETER_STRING_ARRAY,
    "double array": ParameterType.PARAMETER_DOUBLE_ARRAY,
}


@pytest.fixture(scope="module", autouse=True)
def ros() -> Iterator[None]:
    ros_support.isolate()
    rclpy.init()
    yield
    rclpy.shutdown()


def start(*arguments: str, name: str = "perception") -> Any:
    """A node as `ros2 run` would start it with these arguments."""
    command = ["--ros-args", *arguments] if arguments else None
    return LifecycleNode(name, namespace="robot", cli_args=command)


class Robot:
    """A running node, and a second one that talks to its parameter services."""

    def __init__(self, *arguments: str) -> None:
        self.applied: list[NodeSettings] = []
        self.node = start(*arguments)
        declaration.declare(self.node)
        declaration.on_change(self.node, lambda settings: void(load_matrix(settings, CLASSES)), self.applied.append)
        self.user = rclpy.create_node("user")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.user)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def close(self) -> None:
        self.executor.shutdown()
        self.thread.join(10)
        self.node.destroy_node()
        self.user.destroy_node()

    def call(self, service_type: Any, service: str, **request: Any) -> Any:
        client = self.user.create_client(service_type, f"/robot/perception/{service}")
        assert client.wait_for_service(10)
        done = threading.Event()
        future = client.call_async(service_type.Request(**request))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(10)
        self.user.destroy_client(client)
        return future.result()

    def get(self, name: str) -> Any:
        """The value as another node reads it."""
        message = self.call(GetParameters, "get_parameters", names=[name]).values[0]
        value = Parameter.from_parameter_msg(ParameterMessage(name=name, value=message)).value
        return value if isinstance(value, (str, int, float)) else list(value)

    def set(self, name: str, value: Any, kind: Any = None) -> str:
        """Why it was refused; empty when it was accepted. As `ros2 param set` does it."""
        message = Parameter(name, kind, value).to_parameter_msg()
        result = self.call(SetParameters, "set_parameters", parameters=[message]).results[0]
        assert result.successful is not bool(result.reason)
        return result.reason

    def set_together(self, **values: Any) -> str:
        """The same for several at once; the names' dots are written as __."""
        messages = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()
        ]
        result = self.call(SetParametersAtomically, "set_parameters_atomically", parameters=messages).result
        assert result.successful is not bool(result.reason)
        return result.reason


def void(_: Any) -> None:
    """Nothing: what a validator returns."""


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


class TestDeclared:
    """What a node that was just started says of its declaration."""

    def test_types_ranges_texts_and_read_only_flags_are_those_of_the_table(self, robot: Robot) -> None:
        described = robot.call(DescribeParameters, "describe_parameters", names=list(PARAMETERS)).descriptors
        assert [descriptor.name for descriptor in described] == list(PARAMETERS)
        for descriptor, entry in zip(described, PARAMETERS.values(), strict=True):
            assert descriptor.type == TYPES[entry.ros_type], entry.name
            assert descriptor.description == entry.description
            assert descriptor.read_only is not entry.setting.changeable, entry.name
            assert not descriptor.dynamic_typing
            ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
            if entry.ros_type in ("integer", "double"):
                assert [(limits.from_value, limits.to_value) for limits in ranges] == [
                    (entry.setting.minimum, entry.setting.maximum)
                ]
            else:
                assert ranges == []
            assert all(choice in descriptor.additional_constraints for choice in entry.setting.choices), entry.name

    def test_values_are_the_defaults_and_empty_lists_have_their_type(self, robot: Robot) -> None:
        values = robot.call(GetParameters, "get_parameters", names=list(PARAMETERS)).values
        for value, entry in zip(values, PARAMETERS.values(), strict=True):
            assert value.type == TYPES[entry.ros_type], entry.name
        assert robot.get("mount") == []
        assert robot.get("cost_overrides") == []
        assert robot.get("ground.max_range") == 10.0
        assert robot.get("threads") == 0

    def test_the_shipped_file_holds_exactly_the_declared_parameters_with_their_defaults(self) -> None:
        from_file, plain = start("--params-file", str(FILE)), start()
        # What rclpy read from the file, by types and before anything of ours has touched it.
        listed = {name: (value.type_, value.value) for name, value in from_file._parameter_overrides.items()}
        for node in (from_file, plain):
            declaration.declare(node)
        names = {name for name in plain.get_parameters_by_prefix("") if name in PARAMETERS}
        assert listed.keys() == names == PARAMETERS.keys()
        for name, (kind, value) in listed.items():
            declared = plain.get_parameter(name)
            if value is None:  # rcl has no type for an empty list
                assert list(declared.value) == []
            else:
                assert (kind, value) == (declared.type_, declared.value), name
            assert from_file.get_parameter(name).value == declared.value, name
        assert declaration.current(from_file) == declaration.current(plain)
        from_file.destroy_node()
        plain.destroy_node()


def declared(*arguments: str) -> NodeSettings:
    """The settings of a node that was started with these arguments."""
    node = start(*arguments)
    try:
        declaration.declare(node)
        return declaration.current(node)
    finally:
        node.destroy_node()


class TestGivenAtTheStart:
    """Parameters on the command line or in a file."""

    def test_whole_numbers_are_taken_where_numbers_with_a_fraction_are_meant(self) -> None:
        settings = declared("-p", "stale_after:=2", "-p", "ground.max_range:=8", "-p", "mount:=[0, 0, 1, 0, 0, 0]")
        assert (settings.stale_after, settings.pipeline.ground.max_range) == (2.0, 8.0)
        assert settings.mount is not None
        assert settings.mount.translation.tolist() == [0.0, 0.0, 1.0]

    def test_lists_may_be_empty_or_full(self) -> None:
        settings = declared("-p", "mount:=[]", "-p", "cost_overrides:=[]")
        assert (settings.mount, settings.cost_overrides) == (None, ())
        settings = declared(
            "-p", "mount:=[0.3, 0.0, 1.2, 0.0, 0.1, 0.0]", "-p", 'cost_overrides:=["traverse.Grass: 90"]'
        )
        assert settings.cost_overrides == ("traverse.Grass: 90",)
        assert settings.mount is not None

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ("stale_after:=soon", "parameter 'stale_after' must be a number, not 'soon'."),
            ("costmap_rate:=1000", "parameter 'costmap_rate' is 1000, but must lie within 0.1 to 100 Hz."),
            ("costmap_rate:=.nan", "parameter 'costmap_rate' must be a finite number, not nan."),
            ("threads:=1.5", "parameter 'threads' must be a whole number, not 1.5."),
            ("model:=3", "parameter 'model' must be text, not 3."),
            ("pose_source:=odom", "parameter 'pose_source' is 'odom' (did you mean 'odometry'?); use one of auto, tf, "
             "odometry."),
            ("mount:=[0.0, 1.0]", "parameter 'mount' has 2 numbers; give six, x y z roll pitch yaw, or none."),
        ],
    )  # fmt: skip
    def test_a_wrong_one_is_one_sentence(self, given: str, sentence: str) -> None:
        with pytest.raises(ConfigError) as caught:
            declared("-p", given)
        assert str(caught.value) == sentence

    def test_a_misspelt_one_is_named_in_a_warning(self, capfd: pytest.CaptureFixture[str]) -> None:
        declared("-p", "stale_afer:=2.0", "-p", "use_sim_time:=false", "-p", "qos_overrides./tf.subscription.depth:=3")
        printed = capfd.readouterr().err
        assert "parameter 'stale_afer' is none of this node's (did you mean 'stale_after'?)" in printed
        assert "use_sim_time" not in printed
        assert "qos_overrides" not in printed

    def test_the_resolution_of_the_ground_is_the_grid_s(self, capfd: pytest.CaptureFixture[str]) -> None:
        settings = declared("-p", "grid.resolution:=0.2", "-p", "ground.resolution:=0.2")
        assert settings.pipeline.ground.resolution == 0.2
        assert "ground.resolution" not in capfd.readouterr().err
        with pytest.raises(ConfigError, match=r"^ground\.resolution is 0\.2, but grid\.resolution is 0\.1 m"):
            declared("-p", "ground.resolution:=0.2")

    def test_a_cost_without_its_quotes_is_not_lost_in_silence(self, tmp_path: Path) -> None:
        file = tmp_path / "costs.yaml"
        file.write_text("/**:\n  ros__parameters:\n    cost_overrides:\n      - traverse.Grass: 90\n")
        with pytest.raises(ConfigError) as caught:
            declared("--params-file", str(file))
        assert str(caught.value) == (
            "parameter 'cost_overrides' was given as a mapping; put each entry that has a colon in quotes."
        )


class TestChangedWhileRunning:
    """Through the services, as `ros2 param set` and the tools do it."""

    def test_a_change_stands_and_is_applied_once(self, robot: Robot) -> None:
        assert robot.set("stale_after", 2.5) == ""
        assert robot.get("stale_after") == 2.5
        assert [settings.stale_after for settings in robot.applied] == [2.5]

    @pytest.mark.parametrize(
        ("name", "value", "reasons"),
        [
            ("costmap_rate", "fast", ("Wrong parameter type",)),
            ("costmap_rate", 1000.0, ("costmap_rate out of range", "Min: 0.1, Max: 100.0")),
            ("costmap_rate", math.nan, ("costmap_rate",)),
            ("max_image_age", math.inf, ("max_image_age out of range",)),
            ("threads", 2, ("read-only", "threads")),
            ("model", "/other.onnx", ("read-only", "model")),
            ("grid.resolution", 0.2, ("read-only", "grid.resolution")),
            ("ground.max_samples", 5000, ("read-only", "ground.max_samples")),
            ("mount", [0.0] * 6, ("read-only", "mount")),
            ("stale_cost", "free", ("parameter 'stale_cost' is 'free'; use one of unknown, lethal.",)),
            ("ground.min_range", 12.0, ("ground.max_range is 10.0 m; give more than min_range, 12.0 m",)),
            ("risk.alpha", 1.0, ("risk.alpha out of range", "Max: 0.999")),
            ("risk.lethal_at", 0.5, ("key 'risk.lethal_at': is 0.5, but must lie within 1 to 254.",)),
            ("cost_matrix", "/no/such.yaml", ("/no/such.yaml: no such file; check the path.",)),
            ("cost_overrides", ["traverse.Grass 90"], ("'traverse.Grass 90' is not a cost; write it as",)),
            ("cost_overrides", ["traverse.Gras: 90"], ("'Gras' is no class of the model (did you mean 'Grass'?)",)),
            ("cost_overrides", ["traverse.Grass: -1"], ("key 'traverse.Grass': is -1.0, but must lie within 0",)),
            ("cost_overrides", "traverse.Grass: 90", ("Wrong parameter type",)),
            ("stale_afer", 2.0, ("undeclared parameter",)),
        ],
    )
    def test_a_bad_change_is_refused_with_its_reason_and_the_old_value_stays(
        self, robot: Robot, name: str, value: Any, reasons: Sequence[str]
    ) -> None:
        before = robot.get(name) if name in PARAMETERS else None
        refusal = robot.set(name, value)
        for reason in reasons:
            assert reason in refusal
        assert "\n" not in refusal
        if name in PARAMETERS:
            assert robot.get(name) == before
        assert robot.applied == []

    def test_a_parameter_cannot_be_deleted(self, robot: Robot) -> None:
        assert "cannot be undeclared" in robot.set("stale_after", None)
        assert robot.get("stale_after") == 1.0

    @pytest.mark.skipif(not hasattr(LifecycleNode, "add_pre_set_parameters_callback"), reason="not on Humble")
    def test_whole_numbers_and_empty_lists_are_taken_as_they_are_meant(self, robot: Robot) -> None:
        assert robot.set("stale_after", 2) == ""
        assert robot.get("stale_after") == 2.0
        assert robot.set("cost_overrides", ["traverse.Grass: 90"]) == ""
        # `ros2 param set ... "[]"` sends an empty list of truth values.
        assert robot.set("cost_overrides", [], Parameter.Type.BOOL_ARRAY) == ""
        assert robot.get("cost_overrides") == []
        assert robot.applied[-1].cost_overrides == ()

    def test_changes_that_are_right_only_together_are_taken_together(self, robot: Robot) -> None:
        assert "ground.max_range is 10.0 m" in robot.set("ground.min_range", 12.0)
        assert robot.set_together(ground__min_range=12.0, ground__max_range=25.0) == ""
        ground = robot.applied[-1].pipeline.ground
        assert (ground.min_range, ground.max_range) == (12.0, 25.0)
        assert len(robot.applied) == 1

    def test_of_changes_that_come_together_none_stands_if_one_is_wrong(self, robot: Robot) -> None:
        reason = robot.set_together(stale_after=3.0, grid__half_life=4.0, stale_cost="free")
        assert "parameter 'stale_cost' is 'free'" in reason
        assert (robot.get("stale_after"), robot.get("grid.half_life"), robot.get("stale_cost")) == (1.0, 2.0, "unknown")
        assert robot.applied == []

    def test_other_matrices_single_costs_and_alpha_reach_the_matrix(self, robot: Robot) -> None:
        pavement, road, person = (CLASSES.index(name) for name in ("Pavement", "Road", "Pedestrian"))

        def matrix() -> CostMatrix:
            return load_matrix(robot.applied[-1], CLASSES)

        assert robot.set("cost_matrix", str(find("config/cost_matrices/sidewalk_robot.yaml"))) == ""
        assert (matrix().traverse[pavement], matrix().traverse[road]) == (0, 200)
        assert robot.set("cost_overrides", ["traverse.Road: 90", "misclassification.Road.Pedestrian: 400"]) == ""
        assert (matrix().traverse[pavement], matrix().traverse[road]) == (0, 90)
        assert matrix().misclassification[road, person] == 400
        assert robot.set("risk.alpha", 0.5) == ""
        assert (matrix().alpha, matrix().traverse[road]) == (0.5, 90)
        assert robot.set("cost_matrix", "") == ""
        assert matrix().path.name == "road_car.yaml"
        assert (matrix().traverse[pavement], matrix().traverse[road], matrix().alpha) == (220, 90, 0.5)
        assert robot.set_together(cost_overrides=[""], risk__alpha=-1.0) == ""
        assert (matrix().traverse[road], matrix().alpha) == (0, 0)

    def test_a_matrix_file_with_a_mistake_is_refused_and_the_old_one_stays(self, robot: Robot, tmp_path: Path) -> None:
        broken = tmp_path / "mine.yaml"
        broken.write_text(find("config/cost_matrices/road_car.yaml").read_text().replace("Grass:", "Gras:"))
        refusal = robot.set("cost_matrix", str(broken))
        assert refusal.startswith(f"{broken}, key '")
        assert "did you mean 'Grass'?" in refusal
        assert robot.get("cost_matrix") == ""

    def test_parameters_that_are_not_ours_are_left_to_their_owners(self, robot: Robot) -> None:
        robot.node.declare_parameter("theirs", 1)
        assert robot.set("theirs", 2) == ""
        assert robot.applied == []

    def test_where_rclpy_has_no_callback_after_the_change_it_is_applied_with_the_check(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("add_pre_set_parameters_callback", "add_post_set_parameters_callback"):
            monkeypatch.delattr(rclpy.node.Node, name, raising=False)
        robot = Robot()
        try:
            assert robot.set("stale_after", 2.5) == ""
            assert [settings.stale_after for settings in robot.applied] == [2.5]
            assert "Wrong parameter type" in robot.set("stale_after", 2)
            assert robot.get("stale_after") == 2.5
        finally:
            robot.close()
