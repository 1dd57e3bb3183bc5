"""The node's parameters as data: what they mean, what is refused and why, and that pages and files show the same."""

from __future__ import annotations

import array
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seg_perception.errors import ConfigError
from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.parameters import reference
from seg_perception.ros.parameters.conversion import read_node_settings
from seg_perception.ros.parameters.node_settings import load_matrix
from seg_perception.ros.parameters.table import PARAMETERS
from seg_perception.ros.topics import TOPICS
from seg_perception.settings.field import declared_sections
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.utils.package_files import find

ROOT = Path(__file__).parents[3]
CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
    "Bicyclist", "Grass",
)  # fmt: skip


PAGES = [
    str(path.relative_to(ROOT))
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "config").glob("*.yaml")])
    if reference.has_blocks(path.read_text(encoding="utf-8"))
]


def test_without_any_parameter_the_node_runs_what_the_package_ships() -> None:
    settings = read_node_settings({})
    assert settings.model == find("models/urban.onnx")
    assert settings.cost_matrix == find("config/cost_matrices/road_car.yaml")
    assert (settings.card, settings.threads, settings.mount) == (None, None, None)
    assert (settings.alpha, settings.lethal_at, settings.cost_overrides) == (None, None, ())
    assert settings.pipeline.ground == GroundSettings()
    assert settings.pipeline.grid == GridSettings()
    assert settings.pipeline.projection == ProjectionSettings()
    assert (settings.costmap_rate, settings.stale_after, settings.stale_cost) == (5.0, 1.0, "unknown")


def test_every_parameter_reaches_the_settings() -> None:
    given: dict[str, Any] = {
        "model": "/m.onnx", "model_card": "/c.yaml", "backend": "onnx_cpu", "precision": "fp16", "threads": 3,
        "cost_matrix": "/costs.yaml", "cost_overrides": ["traverse.Grass: 90"],
        "risk.alpha": 0.5, "risk.lethal_at": 200.0,
        "cameras": ["front", "left"],
        "image_transport": "compressed", "image_reliability": "reliable", "depth_transport": "compressedDepth",
        "ranging_reliability": "best_effort", "pose_source": "odometry",
        "odom_frame": "map", "base_frame": "base_footprint",
        "mount": array.array("d", [0.3, 0.1, 1.2, 0.01, 0.2, 0.03]),
        "ground.min_range": 1.5, "ground.max_range": 25.0, "ground.max_samples": 5000,
        "ground.attitude_error": 0.01, "ground.standing_threshold": 0.6, "ground.standing_depth": 0.5,
        "ground.max_pitch_error": 0.05,
        "projection.mode": "depth", "projection.robot_height": 1.5, "projection.max_step": 0.1,
        "projection.max_slope": 0.3, "projection.max_gap": 0.5, "projection.min_points": 4,
        "projection.max_points": 9000, "projection.height_noise": 0.04, "projection.depth_error": 0.003,
        "projection.points_error": 0.03, "projection.max_time_difference": 0.1,
        "grid.width": 30.0, "grid.height": 40.0, "grid.resolution": 0.2, "grid.half_life": 3.0,
        "grid.prior_strength": 0.02, "grid.min_evidence": 0.3, "grid.half_lives": ["Pedestrian: 0.5", "Car: 1"],
        "grid.clearing": 0.5, "grid.max_entropy": 0.4, "grid.full_sharpness": 100.0,
        "grid.full_exposure": 0.5,
        "costmap_rate": 4.0, "expected_cost_encoding": "32FC1",
        "max_image_age": 2.0, "max_image_lead": 0.2, "transform_timeout": 0.3,
        "ranging_timeout": 0.1,
        "stale_after": 1.5, "stale_cost": "lethal",
    }  # fmt: skip
    assert given.keys() == PARAMETERS.keys()
    settings, untouched = read_node_settings(given), read_node_settings({})
    for field in fields(settings):
        assert getattr(settings, field.name) != getattr(untouched, field.name), field.name
    assert settings.pipeline.ground == GroundSettings(1.5, 25.0, 5000, 0.01, 0.6, 0.5, 0.05, resolution=0.2)
    assert settings.pipeline.grid == GridSettings(
        30.0, 40.0, 0.2, 3.0, 0.02, 0.3, (("Pedestrian", 0.5), ("Car", 1.0)), 0.5, 0.4, 100.0, 0.5
    )
    assert settings.pipeline.projection == ProjectionSettings(
        "depth", 1.5, 0.1, 0.3, 0.5, 4, 9000, 0.04, 0.003, 0.03, 0.1
    )
    assert (settings.model, settings.card, settings.cost_matrix) == tuple(
        map(Path, ("/m.onnx", "/c.yaml", "/costs.yaml"))
    )
    expected = mount_to_base_from_optical(0.3, 0.1, 1.2, 0.01, 0.2, 0.03)
    assert settings.mount is not None
    np.testing.assert_array_equal(settings.mount.rotation, expected.rotation)
    np.testing.assert_array_equal(settings.mount.translation, [0.3, 0.1, 1.2])


def test_every_setting_of_the_pipeline_is_a_parameter_with_the_same_default() -> None:
    for section, (_, declared) in declared_sections(PipelineSettings).items():
        settings = getattr(PipelineSettings(), section)
        for name, entry in declared.items():
            parameter = PARAMETERS[f"{section}.{name}"]
            assert parameter.default == entry.default == getattr(settings, name)
            assert parameter.setting.text.startswith(entry.text)
            assert (parameter.setting.limits(), parameter.setting.unit) == (entry.limits(), entry.unit)


def test_every_number_has_a_range_that_holds_its_default_and_every_parameter_a_sentence() -> None:
    for entry in PARAMETERS.values():
        if entry.ros_type in ("integer", "double"):
            assert entry.setting.minimum <= entry.default <= entry.setting.maximum < float("inf"), entry.name
        if entry.setting.choices:
            assert entry.default in entry.setting.choices
        assert entry.description.endswith("."), entry.name
        assert "|" not in entry.description, f"{entry.name}: would break the table"
        entry.checked(entry.default)


def test_whole_numbers_are_taken_for_numbers() -> None:
    settings = read_node_settings({"stale_after": 2, "mount": [0, 0, 1, 0, 0, 0], "grid.width": 12})
    assert isinstance(settings.stale_after, float)
    assert settings.pipeline.grid.width == 12.0
    assert settings.mount is not None


def test_an_empty_text_in_a_list_of_texts_stands_for_an_empty_list() -> None:
    settings = read_node_settings({"cost_overrides": [""], "grid.half_lives": [""]})
    assert settings.cost_overrides == settings.pipeline.grid.half_lives == ()


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "text for a number": ({"stale_after": "soon"}, "parameter 'stale_after' must be a number, not 'soon'."),
    "truth value for a number": ({"stale_after": True}, "parameter 'stale_after' must be a number, not True."),
    "fraction for a whole number": ({"threads": 1.5}, "parameter 'threads' must be a whole number, not 1.5."),
    "number for text": ({"odom_frame": 3}, "parameter 'odom_frame' must be text, not 3."),
    "number for a list": ({"mount": 1.0}, "parameter 'mount' must be a list, not 1.0."),
    "text for a list": ({"cost_overrides": "a"}, "parameter 'cost_overrides' must be a list, not 'a'."),
    "wrong item in a list": ({"cost_overrides": [3]}, "parameter 'cost_overrides' must be text, not 3."),
    "not a number": (
        {"costmap_rate": float("nan")}, "parameter 'costmap_rate' must be a finite number, not nan.",
    ),
    "infinite number in a list": (
        {"mount": [0.0, 0.0, float("inf"), 0.0, 0.0, 0.0]}, "parameter 'mount' must be a finite number, not inf.",
    ),
    "too small": ({"costmap_rate": 0.0}, "parameter 'costmap_rate' is 0.0, but must lie within 0.1 to 100 Hz."),
    "too large": ({"stale_after": 61.0}, "parameter 'stale_after' is 61.0, but must lie within 0.1 to 60 s."),
    "alpha of one": ({"risk.alpha": 1.0}, "parameter 'risk.alpha' is 1.0, but must lie within -1 to 0.999."),
    "unknown choice": (
        {"image_transport": "compresed"},
        "parameter 'image_transport' is 'compresed' (did you mean 'compressed'?); use one of raw, compressed.",
    ),
    "choice that is unlike any": ({"stale_cost": "x"}, "parameter 'stale_cost' is 'x'; use one of unknown, lethal."),
    "no frame": ({"base_frame": " "}, "parameter 'base_frame' is ' '; give a frame's name without a leading '/'."),
    "frame with a slash": (
        {"odom_frame": "/odom"}, "parameter 'odom_frame' is '/odom'; give a frame's name without a leading '/'.",
    ),
    "one frame for two": (
        {"odom_frame": "base_link"}, "parameter 'base_frame' is 'base_link', as odom_frame is; give two frames.",
    ),
    "mount of five numbers": (
        {"mount": [0.0] * 5}, "parameter 'mount' has 5 numbers; give six, x y z roll pitch yaw, or none.",
    ),
    "ranges that hold nothing": (
        {"ground.min_range": 12.0}, "ground.max_range is 10.0 m; give more than min_range, 12.0 m, plus one cell.",
    ),
    "too few samples": (
        {"ground.max_samples": 100}, "ground.max_samples is 100; give at least 192, for two bearings.",
    ),
    "a robot lower than a step": (
        {"projection.robot_height": 0.05},
        "projection.robot_height is 0.05 m; give more than max_step, 0.06 m.",
    ),
    "a grid of too many cells": (
        {"grid.width": 500.0, "grid.height": 500.0},
        "grid.resolution is 0.1 m, which cuts 500.0 m x 500.0 m into 5000 x 5000 cells; "
        "choose it so that there are 1 to 4000000 cells.",
    ),
    "an override without its cost": (
        {"cost_overrides": ["traverse.Grass 90"]},
        "parameter 'cost_overrides': 'traverse.Grass 90' is not a cost; write it as 'traverse.CLASS: COST' or "
        "'misclassification.DECISION.TRUTH: COST'.",
    ),
    "a half-life without its time": (
        {"grid.half_lives": ["Pedestrian"]},
        "parameter 'grid.half_lives': 'Pedestrian' is no half-life; write it as 'CLASS: SECONDS'.",
    ),
    "a half-life given twice": (
        {"grid.half_lives": ["Car: 1", "Car: 2"]},
        "parameter 'grid.half_lives': 'Car' is given twice; keep one of the two.",
    ),
    "a half-life of nothing": (
        {"grid.half_lives": ["Car: 0"]}, "grid.half_lives.Car is 0.0, but must lie within 0.05 to 3600 s.",
    ),
    "an override given twice": (
        {"cost_overrides": ["traverse.Grass: 90", "traverse.Grass: 91"]},
        "parameter 'cost_overrides': 'traverse.Grass' is given twice; keep one of the two.",
    ),
    "a second resolution": (
        {"ground.resolution": 0.2},
        "ground.resolution is 0.2, but grid.resolution is 0.1 m and holds for both; give grid.resolution alone.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("values", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_wrong_value_is_refused_in_one_sentence_that_names_it(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_node_settings(values)
    assert str(caught.value) == sentence


def test_the_resolution_of_the_ground_may_be_given_where_it_equals_that_of_the_grid() -> None:
    settings = read_node_settings({"ground.resolution": 0.2, "grid.resolution": 0.2})
    assert settings == read_node_settings({"grid.resolution": 0.2})
    assert settings.pipeline.ground.resolution == 0.2


class TestCostMatrix:
    """The file, with what the parameters say instead."""

    def test_without_overrides_it_is_the_file_s(self) -> None:
        settings = read_node_settings({})
        plain, loaded = CostMatrix.load(settings.cost_matrix, CLASSES), load_matrix(settings, CLASSES)
        np.testing.assert_array_equal(loaded.stacked_rows(), plain.stacked_rows())
        assert (loaded.alpha, loaded.lethal_at) == (plain.alpha, plain.lethal_at)

    def test_single_costs_and_risk_replace_the_file_s_and_nothing_else_changes(self) -> None:
        overrides = ["traverse.Grass: 90", "misclassification.Road.Pedestrian: 400"]
        settings = read_node_settings({"cost_overrides": overrides, "risk.alpha": 0.25, "risk.lethal_at": 200})
        plain, loaded = CostMatrix.load(settings.cost_matrix, CLASSES), load_matrix(settings, CLASSES)
        assert (loaded.alpha, loaded.lethal_at) == (0.25, 200.0)
        assert loaded.traverse[CLASSES.index("Grass")] == 90
        assert loaded.misclassification[CLASSES.index("Road"), CLASSES.index("Pedestrian")] == 400
        assert np.count_nonzero(loaded.stacked_rows() != plain.stacked_rows()) == 2

    def test_alpha_zero_is_not_the_file_s(self) -> None:
        settings = read_node_settings({"cost_matrix": str(find("config/cost_matrices/cautious.yaml")), "risk.alpha": 0})
        assert load_matrix(settings, CLASSES).alpha == 0.0
        assert load_matrix(replace(settings, alpha=None), CLASSES).alpha == 0.5

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            (
                {"cost_overrides": ["traverse.Gras: 90"]},
                "parameter 'cost_overrides', key 'traverse.Gras': 'Gras' is no class of the model "
                "(did you mean 'Grass'?); it has " + ", ".join(CLASSES) + ".",
            ),
            (
                {"cost_overrides": ["misclassification.Road.Road: 2"]},
                "parameter 'cost_overrides', key 'misclassification.Road.Road': is the cost of a right answer, which "
                "'misclassification.correct' sets to 0; remove this entry or change 'correct'.",
            ),
            (
                {"grid.half_lives": ["Pedestrain: 0.5"]},
                "grid.half_lives: 'Pedestrain' is no class of the model (did you mean 'Pedestrian'?); it has "
                + ", ".join(CLASSES)
                + ".",
            ),
            ({"risk.lethal_at": 0.5}, "parameters, key 'risk.lethal_at': is 0.5, but must lie within 1 to 254."),
            ({"cost_matrix": "/no/such.yaml"}, "/no/such.yaml: no such file; check the path."),
        ],
    )
    def test_what_does_not_fit_the_model_is_refused(self, values: dict[str, Any], sentence: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load_matrix(read_node_settings(values), CLASSES)
        assert str(caught.value) == sentence


class TestPages:
    """What is written from the code is what the code says."""

    @pytest.mark.parametrize("page", PAGES)
    def test_a_page_holds_exactly_what_the_code_generates(self, page: str) -> None:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert text == reference.update(text), f"run: python -m seg_perception.ros.parameters.reference --write {page}"

    def test_the_reference_has_all_topics_and_parameters(self) -> None:
        pages = "".join(
            (ROOT / page).read_text(encoding="utf-8") for page in PAGES if page.startswith("docs/reference/")
        )
        for name in [*PARAMETERS, *(topic.name for topic in TOPICS)]:
            assert f"| `{name}` |" in pages

    def test_both_shipped_files_of_settings_are_generated(self) -> None:
        assert {"config/perception.yaml", "config/pipeline.yaml"} <= set(PAGES)

    def test_the_parameter_file_is_the_whole_list_with_types_and_defaults(self) -> None:
        text = (ROOT / "config" / "perception.yaml").read_text(encoding="utf-8")
        listed = dict(flat(yaml.safe_load(text)["/**"]["ros__parameters"]))
        expected = {
            name: list(entry.default) if isinstance(entry.default, tuple) else entry.default
            for name, entry in PARAMETERS.items()
        }
        assert listed == expected
        assert {name: type(value) for name, value in listed.items()} == {
            name: type(value) for name, value in expected.items()
        }

    def test_text_between_markers_is_renewed_and_the_rest_stays(self) -> None:
        old = "before\n<!-- parameters -->\nold\n<!-- /parameters -->\nafter <!-- topics -->\n"
        new = f"before\n<!-- parameters -->\n{reference.parameters()}<!-- /parameters -->\nafter <!-- topics -->\n"
        assert reference.update(old) == new
        assert reference.update("<!-- other -->\nold\n<!-- /other -->\n") == "<!-- other -->\nold\n<!-- /other -->\n"

    def test_the_command_prints_the_tables_and_writes_them_into_files(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reference.main([])
        assert "`~/costmap`" in (printed := capsys.readouterr().out)
        assert "`ground.max_range`" in printed
        page = tmp_path / "page.md"
        page.write_text("<!-- outputs -->\n<!-- /outputs -->\n", encoding="utf-8")
        reference.main(["--write", str(page)])
        assert page.read_text(encoding="utf-8") == f"<!-- outputs -->\n{reference.topics('out')}<!-- /outputs -->\n"

    def test_the_tables_need_no_ros(self) -> None:
        code = (
            "import sys; sys.modules['rclpy'] = None; import seg_perception.ros.parameters.reference"
            ", seg_perception.ros.parameters.conversion; "
            "print([name for name in sys.modules if name.endswith('_msgs')])"
        )
        assert run_python(code) == "[]"


def flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, value) of every leaf."""
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        leaves += flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return leaves


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


class TestCameras:
    """Several cameras, each with what it has of its own."""

    def test_without_any_named_there_is_one_with_all_that_the_node_has(self) -> None:
        settings = read_node_settings({"model": "/m.onnx", "mount": [0.3, 0.0, 1.2, 0.0, 0.1, 0.0], "cameras": [""]})
        (only,) = settings.cameras
        assert (only.name, only.prefix, only.model, only.card) == ("", "", settings.model, None)
        assert only.mount is settings.mount

    def test_each_takes_what_it_has_and_the_rest_from_the_node(self) -> None:
        settings = read_node_settings(
            {
                "model": "/m.onnx", "model_card": "/m.yaml", "mount": [0.3, 0.0, 1.2, 0.0, 0.1, 0.0],
                "cameras": ["front", "left"],
                "left.model": "/l.onnx", "left.mount": [0.0, 0.3, 1.0, 0.0, 0.2, 1.57], "left.weight": 2,
            }
        )  # fmt: skip
        front, left = settings.cameras
        assert (front.prefix, front.model, front.card, front.weight) == (
            "front/",
            Path("/m.onnx"),
            Path("/m.yaml"),
            1.0,
        )
        assert front.mount is settings.mount
        assert (left.prefix, left.model, left.weight) == ("left/", Path("/l.onnx"), 2.0)
        assert left.card is None, "another network has another card, the one next to it"
        expected = mount_to_base_from_optical(0.0, 0.3, 1.0, 0.0, 0.2, 1.57)
        assert left.mount is not None
        np.testing.assert_array_equal(left.mount.rotation, expected.rotation)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"cameras": ["front", "front"]}, "'cameras' has 'front' twice"),
            ({"cameras": ["front left"]}, "'cameras' has 'front left'; give names of letters"),
            ({"cameras": ["grid"]}, "'grid', which other parameters are called"),
            ({"cameras": ["front"], "front.mount": [1.0]}, "'front.mount' has 1 numbers"),
            ({"cameras": ["front"], "front.weight": 0.0}, "'front.weight' is 0.0, but must lie within 0.01 to 100"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, values: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            read_node_settings(values)
