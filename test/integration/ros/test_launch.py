"""Launch files, DDS profiles, and the configurations of nav2, RViz and Foxglove, compared with the code."""

from __future__ import annotations

import json
import os
import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from support.ros import launch_stubs

from seg_perception.ros.parameters.table import PARAMETERS
from seg_perception.ros.tools.launch_support import camera_topics, dds_environment, given, merged_parameters
from seg_perception.ros.topics import TOPICS
from seg_perception.utils.package_files import find

ROOT = Path(__file__).parents[3]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "CYCLONEDDS_URI")
OUTPUTS = {topic.name.replace("~", "/perception") for topic in TOPICS if topic.direction == "out"}


def execute(name: str, packages: dict[str, Path] | None = None, **arguments: str) -> tuple[list[Any], list[Any]]:
    """Execute a launch file with these arguments; returns (declared arguments, actions)."""
    with launch_stubs.installed_stubs(packages):
        content = runpy.run_path(str(ROOT / "launch" / name))
        *declared, start = content["generate_launch_description"]().entities
        defaults = {each.name: each.named["default_value"] for each in declared if "default_value" in each.named}
        assert set(arguments) <= {each.name for each in declared}, "an argument that is not declared"
        actions = start.execute(launch_stubs.Context({**defaults, **arguments}))
        used = set(launch_stubs.LaunchConfiguration.used) | {
            each.named["condition"].positional[0].positional[0]
            for each in nested_actions(actions)
            if "condition" in each.named
        }
    assert used == {each.name for each in declared}, "declared and used arguments differ"
    assert all(each.named["description"] for each in declared)
    return declared, actions


def nested_actions(actions: list[Any]) -> list[Any]:
    """The actions and those inside event handlers."""
    found = []
    for action in actions:
        found.append(action)
        inner = [value for value in action.positional if isinstance(value, launch_stubs.LaunchStub)]
        found += nested_actions([*inner, *action.named.get("entities", [])])
    return found


def one(actions: list[Any], kind: type) -> Any:
    found = [action for action in actions if type(action) is kind]
    assert len(found) == 1
    return found[0]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "CYCLONEDDS_URI",
        "RMW_IMPLEMENTATION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")


def test_launch_starts_the_installed_node() -> None:
    _, actions = execute("perception.launch.py")
    node = one(actions, launch_stubs.LifecycleNode)
    assert (node.named["package"], node.named["executable"], node.named["name"]) == (
        "seg_perception", "perception_node", "perception",
    )  # fmt: skip
    script = ROOT / "scripts" / node.named["executable"]
    assert os.access(script, os.X_OK) and f"scripts/{node.named['executable']}" in (ROOT / "setup.py").read_text()
    file, overrides, time = node.named["parameters"]
    assert Path(file) == find("config/perception.yaml")
    assert overrides == {} and time == {"use_sim_time": False}, "default arguments override no parameter file"
    assert dict(node.named["remappings"]) == {"image": "/camera/image_raw", "odometry": "/odom"}
    assert node.named["ros_arguments"] == ["--log-level", "info"]


def test_arguments_are_passed_to_the_node() -> None:
    _, actions = execute(
        "perception.launch.py", camera="/front/", image_topic="image_rect", model="/m.onnx", backend="onnx_cpu",
        precision="fp16", matrix="/c.yaml", image_transport="compressed", namespace="robot1", use_sim_time="true",
        log_level="debug", dds_profile="false", odometry_topic="/wheel/odom", depth_topic="aligned_depth",
        points_topic="/lidar/points",
    )  # fmt: skip
    node = one(actions, launch_stubs.LifecycleNode)
    _, overrides, time = node.named["parameters"]
    assert overrides == {
        "model": "/m.onnx",
        "backend": "onnx_cpu",
        "precision": "fp16",
        "cost_matrix": "/c.yaml",
        "image_transport": "compressed",
    }
    assert set(overrides) <= set(PARAMETERS)
    assert time == {"use_sim_time": True} and node.named["namespace"] == "robot1"
    assert dict(node.named["remappings"]) == {
        "image": "/front/image_rect",
        "depth": "/front/aligned_depth",
        "points": "/lidar/points",
        "odometry": "/wheel/odom",
    }
    assert node.named["additional_env"] == {}


def test_cameras_have_their_names_as_namespaces_and_share_a_point_cloud() -> None:
    _, actions = execute(
        "perception.launch.py", cameras="front, left", image_topic="color", points_topic="/lidar/points"
    )
    node = one(actions, launch_stubs.LifecycleNode)
    assert node.named["parameters"][1] == {"cameras": ["front", "left"]}
    assert dict(node.named["remappings"]) == {
        "front/image": "/front/color",
        "front/points": "/lidar/points",
        "left/image": "/left/color",
        "left/points": "/lidar/points",
        "odometry": "/odom",
    }


def test_node_is_configured_then_activated_and_a_failure_is_logged() -> None:
    _, actions = execute("perception.launch.py")
    node = one(actions, launch_stubs.LifecycleNode)
    changes = [each for each in nested_actions(actions) if isinstance(each, launch_stubs.EmitEvent)]
    assert [each.named["event"].named["transition_id"] for each in changes] == [3, 1]
    assert all(each.named["event"].named["lifecycle_node_matcher"] is node for each in changes)
    assert all(each.named["condition"].positional[0].positional == ("autostart",) for each in changes)
    handlers = [each.positional[0].named for each in actions if isinstance(each, launch_stubs.RegisterEventHandler)]
    assert [(each["start_state"], each["goal_state"]) for each in handlers] == [
        ("configuring", "inactive"), ("configuring", "unconfigured"),
    ]  # fmt: skip
    assert "could not be configured" in handlers[1]["entities"][0].named["msg"]


def test_replay_plays_the_bag_with_simulated_time() -> None:
    declared, actions = execute("replay.launch.py", bag="/b", rate="0.5", loop="true", matrix="/c.yaml")
    assert "default_value" not in next(each for each in declared if each.name == "bag").named, "a bag must be given"
    player = one(actions, launch_stubs.Node)
    assert player.named["executable"] == "play" and os.access(ROOT / "scripts" / "play", os.X_OK)
    assert player.named["arguments"] == ["/b", "--playback-rate", "0.5", "--loop"]
    forwarded = dict(one(actions, launch_stubs.IncludeLaunchDescription).named["launch_arguments"])
    known = {each.name for each in execute("perception.launch.py")[0]}
    assert set(forwarded) <= known and forwarded["use_sim_time"] == "true" and forwarded["matrix"] == "/c.yaml"
    included = one(actions, launch_stubs.IncludeLaunchDescription).positional[0].positional[0]
    assert Path(included) == ROOT / "launch" / "perception.launch.py"


def test_nav2_demo_overrides_nav2s_parameters_with_our_costmaps(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    theirs = {
        "local_costmap": {"local_costmap": {"ros__parameters": {"plugins": ["voxel_layer"], "robot_radius": 0.3}}},
        "controller_server": {"ros__parameters": {"controller_frequency": 20.0}},
    }
    (tmp_path / "params" / "nav2_params.yaml").write_text(yaml.safe_dump(theirs))
    _, actions = execute("nav2_demo.launch.py", packages={"nav2_bringup": tmp_path})
    navigation = actions[1]
    assert navigation.positional[0].positional[0] == f"{tmp_path}/launch/navigation_launch.py"
    merged = yaml.safe_load(Path(dict(navigation.named["launch_arguments"])["params_file"]).read_text())
    local = merged["local_costmap"]["local_costmap"]["ros__parameters"]
    assert local["plugins"] == ["perception_layer", "inflation_layer"] and local["robot_radius"] == 0.3
    assert merged["controller_server"] == theirs["controller_server"]


def test_nav2_demo_names_the_missing_package() -> None:
    with pytest.raises(RuntimeError, match="nav2-bringup"):
        execute("nav2_demo.launch.py")


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_load_with_the_real_launch(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch_ros is not installed; it is not a wheel, only part of ROS 2")
    description = runpy.run_path(str(path))["generate_launch_description"]()
    assert description.entities


# -- environment ---------------------------------------------------------------------------------------------------


def test_dds_profile_is_set_in_the_variable_of_the_distribution() -> None:
    profile = str(find("config/dds/fastdds_large_images.xml"))
    old, new = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
    assert dds_environment({"ROS_DISTRO": "humble"}) == dds_environment({"ROS_DISTRO": "jazzy"}) == {old: profile}
    assert dds_environment({"ROS_DISTRO": "kilted"}) == dds_environment({"ROS_DISTRO": "lyrical"}) == {new: profile}
    assert dds_environment({}) == {old: profile, new: profile}
    cyclone = str(find("config/dds/cyclonedds_large_images.xml"))
    assert dds_environment({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}) == {"CYCLONEDDS_URI": cyclone}


@pytest.mark.parametrize("name", PROFILE_VARIABLES)
def test_profile_of_the_user_is_kept(name: str) -> None:
    assert dds_environment({"ROS_DISTRO": "jazzy", name: "/mine.xml"}) == {}


def test_dds_profiles_hold_several_large_images() -> None:
    fast = ElementTree.parse(find("config/dds/fastdds_large_images.xml")).getroot()
    sizes = [int(node.text or 0) for node in fast.iter() if node.tag.endswith("segment_size")]
    assert sizes == [32 * 2**20] and sizes[0] > 5 * 1920 * 1080 * 3
    cyclone = ElementTree.parse(find("config/dds/cyclonedds_large_images.xml")).getroot()
    assert [node.get("max") for node in cyclone.iter() if node.tag.endswith("SocketReceiveBufferSize")] == ["32MB"]


def test_launch_helpers() -> None:
    assert given(model="", cost_matrix="/c.yaml") == {"cost_matrix": "/c.yaml"}
    assert camera_topics("/camera", image="/elsewhere/image", depth="") == [("image", "/elsewhere/image")]
    base, ours = Path(find("config/nav2_costmap.yaml")), Path(find("config/nav2_costmap.yaml"))
    assert yaml.safe_load(Path(merged_parameters(base, ours)).read_text()) == yaml.safe_load(base.read_text())


# -- nav2, RViz and Foxglove ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local_costmap", "global_costmap"])
def test_nav2_costmap_reads_graded_costs_in_the_odom_frame(name: str) -> None:
    content = yaml.safe_load(find("config/nav2_costmap.yaml").read_text())[name][name]["ros__parameters"]
    assert content["plugins"][0] == "perception_layer", "a rolling costmap lets ours overwrite what comes before it"
    layer = content["perception_layer"]
    assert layer["plugin"] == "nav2_costmap_2d::StaticLayer" and layer["map_topic"] in OUTPUTS
    assert layer["map_subscribe_transient_local"] is True
    assert content["trinary_costmap"] is False and content["track_unknown_space"] is True
    assert content["rolling_window"] is True and content["lethal_cost_threshold"] == 100
    assert content["global_frame"] == PARAMETERS["odom_frame"].default
    assert content["resolution"] <= float(str(PARAMETERS["grid.resolution"].default))


def test_costmap_rate_is_at_most_nav2s_update_frequency() -> None:
    content = yaml.safe_load(find("config/nav2_costmap.yaml").read_text())
    local = content["local_costmap"]["local_costmap"]["ros__parameters"]
    assert float(str(PARAMETERS["costmap_rate"].default)) <= local["update_frequency"]


def test_rviz_shows_existing_topics() -> None:
    content = yaml.safe_load(find("config/perception.rviz").read_text())["Visualization Manager"]
    displays = {display["Name"]: display for display in content["Displays"]}
    topics = {
        display[key]["Value"] for display in displays.values() for key in ("Topic", "Update Topic") if key in display
    }
    assert topics and topics <= OUTPUTS
    assert displays["Costmap"]["Topic"]["Durability Policy"] == "Transient Local"
    assert content["Global Options"]["Fixed Frame"] == PARAMETERS["odom_frame"].default


def test_foxglove_shows_existing_topics() -> None:
    text = find("config/foxglove/perception.json").read_text()
    topics = set(re.findall(r'"(/[a-z_/]+)', text))
    assert topics and topics <= OUTPUTS
    panels = json.loads(text)["configById"]
    used = set(re.findall(r'"(?:first|second)": "([^"]+)"', text))
    assert used == set(panels)
