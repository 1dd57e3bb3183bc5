"""Closed-loop drives: the same seed gives the same drive, and each cost rule does what it says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_networks as tiny

from seg_perception.closed_loop import study
from seg_perception.closed_loop.course import Course, bounds_around, generate_course
from seg_perception.closed_loop.drive import FOOTPRINT, RADIUS, DriveRecord, drive, plan_path
from seg_perception.closed_loop.mappers import SETTINGS, CameraMapper, CameraSimulator, GroundTruthMapper, PlannerMap
from seg_perception.closed_loop.path_follower import SPEED, follow_path
from seg_perception.closed_loop.study import (
    DEGRADED,
    TRUE_LABELS,
    TRUE_MAP,
    DriveResult,
    StudyCase,
    StudyRequest,
    run_study,
    study_cases,
)
from seg_perception.closed_loop.table import write_tables
from seg_perception.closed_loop.variants import VARIANTS, majority_class_costs, one_hot_labels
from seg_perception.costmap.evidence_grid import EvidenceGrid
from seg_perception.errors import ConfigError, ModelError
from seg_perception.evaluation.costmap.label_engine import LabelEngine
from seg_perception.evaluation.costmap.standard_drives import standard_camera
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.prepared_graphs import load_card
from seg_perception.model.logit_calibration import UNCALIBRATED
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.grid import GridSettings
from seg_perception.simulation.labels import CLASS_NAMES, Label
from seg_perception.simulation.sensors.degradation import DEGRADATIONS
from seg_perception.simulation.world.solids import Material, SurfaceType, box
from seg_perception.simulation.world.street import Side, Street, Zone
from seg_perception.simulation.world.world import World
from seg_perception.utils.package_files import find

DAY = DEGRADATIONS["day"]
MATRIX = CostMatrix.load(find("config/cost_matrices/road_car.yaml"), CLASS_NAMES)


def _course_with_box() -> Course:
    """A straight road and a box from x = 6 to 7 m on the robot's lane."""
    side = Side(road=3.5, verge=1.0, pavement=2.0, paving=Zone.SLABS, beyond=Zone.GRASS)
    red = Material(SurfaceType.PLAIN, (0.6, 0.1, 0.1))
    world = World(Street(side, side), (box((6.5, 1.75), (0.5, 0.4), (0.0, 1.0), Label.CAR, red),))
    return Course(world, Transform.from_xyz_rpy(0.0, 1.75, 0.0, 0.0, 0.0, 0.0), (18.0, 1.75))


@pytest.mark.slow
def test_a_seed_gives_the_same_course_and_a_drive_on_the_true_map_arrives() -> None:
    one, again = (generate_course(11, DAY, FOOTPRINT, MATRIX.traverse) for _ in range(2))
    assert one.goal == again.goal and len(one.world.solids) == len(again.world.solids)
    assert all(np.array_equal(a.centre, b.centre) for a, b in zip(one.world.solids, again.world.solids, strict=True))
    first, second = (drive(course, GroundTruthMapper(course, MATRIX)) for course in (one, again))
    assert first == second and first.end == "goal" and first.waits == 0
    assert 17.0 < sum(first.ground.values()) < 25.0


@pytest.mark.slow
def test_a_drive_on_true_labels_avoids_a_box_and_is_reproducible() -> None:
    card = replace(load_card(find("models/urban.onnx"), None), width=160, height=120)
    engine = LabelEngine(card, graph_spec(SETTINGS, "rgb"))
    course = _course_with_box()
    records = []
    for _ in range(2):
        camera_simulator = CameraSimulator(course, standard_camera(160, 120), DAY, 0)
        records.append(drive(course, CameraMapper(camera_simulator, TRUE_LABELS, engine, MATRIX, true_labels=True)))
    assert records[0] == records[1]
    assert records[0].end == "goal" and set(records[0].ground) == {"Road"}


class _ConstantMapper:
    """Maps free road everywhere, or nothing at all."""

    def __init__(self, course: Course, known: bool) -> None:
        self._bounds = bounds_around(course.start, course.goal)
        self._known = known

    def update(self, number: int, actual_pose: Transform) -> PlannerMap:
        shape = (self._bounds.rows, self._bounds.cols)
        return PlannerMap(np.zeros(shape, np.float32), np.full(shape, self._known), self._bounds, actual_pose)


def test_a_map_without_the_box_leads_into_it_and_an_unknown_map_makes_the_robot_wait() -> None:
    course = _course_with_box()
    bold = drive(course, _ConstantMapper(course, known=True))
    assert (bold.end, bold.hit) == ("collision", "Car")
    assert sum(bold.ground.values()) == pytest.approx(6.0 - RADIUS, abs=SPEED * 0.05)
    lost = drive(course, _ConstantMapper(course, known=False))
    assert lost.end == "stuck" and lost.hit is None
    assert sum(lost.ground.values()) < 3.5, "only the strip that is free at the start"


def test_a_path_ends_before_the_first_unknown_cell() -> None:
    course = _course_with_box()
    bounds = bounds_around(course.start, course.goal)
    known = np.ones((bounds.rows, bounds.cols), bool)
    known[bounds.centres()[..., 0] > 4.0] = False
    path = plan_path(PlannerMap(np.zeros(known.shape, np.float32), known, bounds, course.start), course.goal)
    assert path[0] == pytest.approx([0.05, 1.75], abs=0.06) and path[:, 0].max() == pytest.approx(3.95)


def test_a_robot_that_follows_a_path_keeps_to_it_and_turns_in_place_if_it_starts_behind() -> None:
    path = np.stack([np.arange(0.0, 5.0, 0.1), np.zeros(50)], axis=1)
    poses = list(follow_path((0.0, 0.3, 0.0), path, 3.0))
    assert len(poses) == 60 and abs(poses[-1][1]) < 0.05 and poses[-1][0] == pytest.approx(4.5, abs=0.15)
    turning = list(follow_path((0.0, 0.0, math.pi), path, 1.0))
    assert all(pose[:2] == (0.0, 0.0) for pose in turning) and abs(turning[-1][2] - math.pi) == pytest.approx(1.5)


def test_labels_have_one_class_or_none() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25], [0.5, 0.5, 0.0]], np.float32)
    assert one_hot_labels(p, 0.0).tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert one_hot_labels(p, 0.5).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_majority_costs_are_those_of_the_most_frequent_label_and_little_evidence_is_unknown() -> None:
    grid = EvidenceGrid(GridSettings(width=1.0, height=1.0), len(CLASS_NAMES))
    grid.evidence[Label.ROAD, 0, :4] = [2.0, 1.0, 0.1, 0.0]
    grid.evidence[Label.PEDESTRIAN, 0, :4] = [0.9, 1.1, 0.05, 0.0]
    grid.evidence[Label.SKY, 0, :4] = [0.0, 0.0, 9.0, 9.0]
    costs, known = majority_class_costs(grid, MATRIX)
    assert known[0, :4].tolist() == [True, True, False, False] and costs[0, :2].tolist() == [0.0, 254.0]
    expected, _ = VARIANTS[2].costs(grid, MATRIX)
    assert expected[0, 0] == 254.0, "one observation of a person in three is lethal by expected cost"


def test_with_a_hazard_discount_a_hazard_is_lethal_from_a_higher_probability_on() -> None:
    grid = EvidenceGrid(GridSettings(width=1.0, height=1.0), len(CLASS_NAMES))
    grid.evidence[Label.ROAD, 0, :3] = [930.0, 890.0, 0.0]
    grid.evidence[Label.PEDESTRIAN, 0, :3] = [70.0, 110.0, 0.0]
    grid.evidence[Label.PAVEMENT, 0, 2] = 1000.0
    by_name = {variant.name: variant.costs(grid, MATRIX)[0][0] for variant in VARIANTS}
    assert by_name["expected"][:2].tolist() == [254.0, 254.0], "lethal from 5 % on"
    bold = by_name["expected_boldest"]
    assert bold[0] == pytest.approx(0.07 * 5080 / 2, rel=0.03) and bold[1] == 254.0, "from 10 % on"
    assert bold[2] == pytest.approx(by_name["expected"][2], rel=0.02), "ground costs what it did"


def _result(case: StudyCase, seed: int, end: Any = "goal", metres: float = 18.0) -> DriveResult:
    hit = "Pole" if end == "collision" else None
    return DriveResult(case, seed, "day", DriveRecord(end, hit, {"Road": metres - 1.0, "Grass": 1.0}, 0, 10))


def test_a_study_resumes_and_refuses_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driven: list[tuple[int, int]] = []

    def drive_batch(job: tuple[StudyRequest, int, tuple[StudyCase, ...]]) -> list[DriveResult]:
        _, seed, pending = job
        driven.append((seed, len(pending)))
        return [_result(case, seed) for case in pending]

    monkeypatch.setattr(study, "_drive_batch", drive_batch)
    model, matrix = find("models/urban.onnx"), find("config/cost_matrices/road_car.yaml")
    request = StudyRequest(tmp_path / "out", model, matrix, drives=2)
    for _ in run_study(request, lambda done, total: None):
        pass
    each = len(study_cases("clean"))
    assert driven == [(0, each), (0, each), (1, each), (1, each)]
    lines = request.file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 4 * each
    driven.clear()
    request.file.write_text("\n".join(lines[:-3]) + "\n", encoding="utf-8")
    *_, results = run_study(replace(request, drives=3), lambda done, total: None)
    assert driven == [(1, 3), (2, each), (2, each)] and len(results) == 6 * each
    assert [json.loads(line) for line in lines[1:]] == [study._to_json(result) for result in results[: 4 * each]]
    with pytest.raises(ConfigError, match="holds drives with another matrix_sha256; choose another folder"):
        next(iter(run_study(replace(request, matrix=find("config/cost_matrices/cautious.yaml")), lambda a, b: None)))
    request.file.write_text(lines[0] + "\n{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is damaged"):
        next(iter(run_study(request, lambda done, total: None)))


@pytest.mark.slow
def test_one_course_is_driven_by_the_shipped_network_with_and_without_its_calibration(tmp_path: Path) -> None:
    model, matrix = find("models/urban.onnx"), find("config/cost_matrices/road_car.yaml")
    pending = (
        StudyCase("degraded", TRUE_MAP),
        StudyCase("degraded", "cvar_0.9"),
        StudyCase("degraded", "cvar_0.9", calibrated=False),
    )
    on_true_map, *on_network = study._drive_batch((StudyRequest(tmp_path, model, matrix, drives=5), 4, pending))
    assert [result.degradation for result in (on_true_map, *on_network)] == [DEGRADED[4]] * 3
    assert on_true_map.record.end == "goal"
    for result in on_network:
        assert result.record.image_count >= 4 and (result.record.hit is None) == (result.record.end != "collision")
    tools = study._shared_resources(model, matrix)
    assert tools.uncalibrated.card.calibration == {"fp32": UNCALIBRATED} != tools.calibrated.card.calibration


def test_a_network_of_other_classes_is_refused(tmp_path: Path) -> None:
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    request = StudyRequest(tmp_path / "out", model, find("config/cost_matrices/road_car.yaml"), drives=1)
    with pytest.raises(ModelError, match="'tiny' has the classes class0, class1"):
        next(iter(run_study(request, lambda done, total: None)))


def test_tables_count_the_drives_and_mark_significant_differences() -> None:
    labels, expected = StudyCase("clean", "labels"), StudyCase("clean", "expected")
    results = [_result(labels, seed, "collision" if seed < 12 else "goal") for seed in range(40)]
    results += [_result(expected, seed, "goal", 18.5) for seed in range(40)]
    text = write_tables(results)
    assert "| (a) labels |  | 40 | 30.0 [18.1, 45.4] | 70.0 [54.6, 81.9] |" in text, "Wilson's interval of 12 in 40"
    line = next(line for line in text.splitlines() if line.startswith("| (c) expected cost | yes | **-30.0"))
    assert "**+30.0" in line and "+0.00 [+0.00, +0.00]" in line and "**+0.50 [+0.50, +0.50]**" in line
    assert "| day | 30 / 70 |  | 0 / 100 |" in text
    degraded = [_result(StudyCase("degraded", "labels"), seed) for seed in range(40)]
    degraded += [_result(StudyCase("degraded", "expected"), seed) for seed in range(40)]
    together = write_tables(results + degraded).split("combined, against (a)")[1].split("###")[0]
    assert "| (c) expected cost | yes | **-15.0" in together
    assert "cvar" not in text and "(d) CVaR 0.5 | yes | 0" not in text.split("Collisions by class")[0]
