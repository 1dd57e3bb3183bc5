"""The parameters in docs/how_to/nav2.md match the node's topics, and override the defaults of nav2 that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from seg_perception.costmap.marking_points import MARK_HEIGHT
from seg_perception.model.card import ModelCard
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix
from seg_perception.ros.parameters.table import PARAMETERS
from seg_perception.ros.topics import TOPICS
from seg_perception.utils.package_files import find

PAGE = Path(__file__).parents[3] / "docs" / "how_to" / "nav2.md"
TYPES = {topic.name.replace("~/", "/perception/"): topic.type for topic in TOPICS if topic.direction == "out"}


def blocks() -> dict[str, dict[str, Any]]:
    """Heading → the parameters of its last YAML block; with "+" after it, those of the block before."""
    found: dict[str, dict[str, Any]] = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n### ")[1:]:
        texts = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
        for index, text in enumerate(reversed(texts)):
            found[section.split("\n")[0] + "+" * index] = yaml.safe_load(text)
    return found


BLOCKS = blocks()


def parameters(heading: str) -> dict[str, Any]:
    content = BLOCKS[heading]
    while "ros__parameters" not in content:
        (content,) = content.values()
    inner: dict[str, Any] = content["ros__parameters"]
    return inner


def texts(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for value in content.values():
            yield from texts(value)
    elif isinstance(content, str):
        yield content


@pytest.mark.parametrize("heading", BLOCKS)
def test_every_perception_topic_in_the_docs_is_published_by_the_node(heading: str) -> None:
    ours = {text for text in texts(BLOCKS[heading]) if text.startswith("/perception/")}
    assert ours and ours <= TYPES.keys()


@pytest.mark.parametrize(("source", "marking"), [("lethal", True), ("clearing", False)])
def test_obstacle_layer_takes_points_of_the_whole_grid(source: str, marking: bool) -> None:
    layer = parameters("Obstacles: ObstacleLayer")["perception_layer"]
    settings = layer[source]
    assert source in layer["observation_sources"].split()
    assert TYPES[settings["topic"]].endswith("PointCloud2") and settings["data_type"] == "PointCloud2"
    assert settings["marking"] is marking and settings["clearing"] is not marking
    assert settings["max_obstacle_height"] > MARK_HEIGHT
    assert settings["sensor_frame"] == PARAMETERS["base_frame"].default
    assert settings["observation_persistence"] == 0.0, "nothing older than the latest cloud"
    reach = settings["obstacle_max_range" if marking else "raytrace_max_range"]
    assert reach > max(float(str(PARAMETERS[f"grid.{side}"].default)) for side in ("width", "height")) / 2**0.5
    assert settings["expected_update_rate"] > 2.0, "two periods of the repeated retraction"


def test_collision_monitor_takes_the_points_and_only_lethal_cells() -> None:
    cloud, costmap = (parameters(f"Collision monitor{mark}")["perception"] for mark in ("+", ""))
    assert cloud["min_height"] < MARK_HEIGHT < cloud["max_height"]
    assert TYPES[cloud["topic"]].endswith("PointCloud2") and TYPES[costmap["topic"]].endswith("nav2_msgs/msg/Costmap")
    assert costmap["cost_threshold"] == LETHAL_COST and costmap["treat_unknown_as_obstacle"] is False


@pytest.mark.parametrize(
    ("heading", "name"),
    [("Speed limits: SpeedFilter", "speed_filter"), ("No-go areas: KeepoutFilter", "keepout_filter")],
)
def test_filters_subscribe_to_the_info_topic_of_their_mask(heading: str, name: str) -> None:
    content = parameters(heading)
    assert content["filters"] == [name]
    assert content[name]["filter_info_topic"] == f"/perception/{name}_info"
    assert TYPES[content[name]["filter_info_topic"]] == "nav2_msgs/msg/CostmapFilterInfo"


def test_semantic_layer_has_every_class_that_is_not_ignored_with_its_cost() -> None:
    card = ModelCard.load(find("models/urban.yaml"))
    matrix = CostMatrix.load(find("config/cost_matrices/road_car.yaml"), card.classes)
    camera = parameters("Semantic segmentation layer")["semantic_layer"]["camera"]
    costs = {
        name: camera[kind][key]
        for kind in camera["class_types"]
        for name in camera[kind]["classes"]
        for key in ("base_cost", "max_cost")
    }
    assert costs == {
        name: min(int(matrix.traverse[index]), LETHAL_COST)
        for index, name in enumerate(card.classes)
        if not matrix.ignore[index]
    }
    kinds = {camera[key]: TYPES[camera[key]] for key in ("segmentation_topic", "confidence_topic", "labels_topic")}
    assert list(kinds.values()) == ["sensor_msgs/msg/Image", "sensor_msgs/msg/Image", "vision_msgs/msg/LabelInfo"]
