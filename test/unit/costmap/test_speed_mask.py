"""Speed limits: the section of the cost matrix, closed forms of the mask, and how nav2's SpeedFilter reads it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_perception.costmap.evidence_grid import EvidenceGrid
from seg_perception.costmap.speed_mask import percent, speed_mask
from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.risk.speed_rule import SLOWEST, SpeedRule
from seg_perception.settings.grid import GridSettings
from seg_perception.utils.package_files import find

ROAD, GRASS, PERSON, SKY, OBSTACLE = range(5)
RESOLUTION = 0.1
CLASSES = ("Road", "Grass", "Person", "Sky")
TEXT = """
misclassification: {default: 1, correct: 0}
traverse: {Road: 0, Grass: 100, Person: 5080, Sky: 254}
standing: [Person]
ignore: [Sky]
"""


def matrix(**rule: object) -> CostMatrix:
    return CostMatrix(
        classes=CLASSES,
        misclassification=(1 - np.eye(4)).astype(np.float32),
        traverse=np.array([0.0, 100.0, 5080.0, 254.0], dtype=np.float32),
        standing=np.array([False, False, True, False]),
        overhang=np.zeros(4, np.float32),
        ignore=np.array([False, False, False, True]),
        alpha=0.0,
        lethal_at=254.0,
        path=Path("matrix.yaml"),
        speed=SpeedRule(**{"slower": ((GRASS, 0.5), (PERSON, 0.2)), **rule}),  # type: ignore[arg-type]
    )


def limit(probabilities: dict[int, float], known: bool = True, **rule: object) -> int:
    """The limit of a single cell."""
    posterior = np.zeros((5, 1, 1), np.float32)
    for outcome, probability in probabilities.items():
        posterior[outcome] = probability
    return int(speed_mask(posterior, np.array([[known]]), matrix(**rule), RESOLUTION)[0, 0])


def filter_limit(value: int) -> float:
    """The limit that nav2's SpeedFilter sets for a value of the mask with base 0 and multiplier 1; inf is no limit."""
    assert value != -1, "an error, and the last limit stays in force"
    return math.inf if value == 0 else float(value)


# -- a cell --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probabilities", "alpha", "expected"),
    [
        ({ROAD: 1.0}, 0.9, 100),
        ({GRASS: 1.0}, 0.9, 50),
        ({PERSON: 1.0}, 0.0, 20),
        ({ROAD: 0.5, GRASS: 0.5}, 0.0, 75),  # the mean share
        ({ROAD: 0.95, PERSON: 0.05}, 0.9, 60),  # half of the slowest tenth is person: 1 - 0.5 * 0.8
        ({ROAD: 0.9, PERSON: 0.1}, 0.9, 20),  # from a tenth on, the person's speed holds
        ({ROAD: 0.85, GRASS: 0.1, PERSON: 0.05}, 0.9, 35),  # half person, half grass: 1 - 0.5 * 0.8 - 0.5 * 0.5
        ({OBSTACLE: 1.0}, 0.9, 100),  # a kerb blocks the way, but limits no speed
    ],
)
def test_the_speed_of_a_cell_is_the_mean_over_the_slowest_of_its_posterior(
    probabilities: dict[int, float], alpha: float, expected: int
) -> None:
    assert limit(probabilities, alpha=alpha) == expected


@given(st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), st.floats(0.0, 0.99))
def test_a_limit_lies_between_the_slowest_and_the_mean_share_and_nav2_obeys_it(
    weights: list[float], alpha: float
) -> None:
    p = np.array(weights) / sum(weights)
    value = limit({ROAD: p[0], GRASS: p[1], PERSON: p[2], OBSTACLE: p[3]}, alpha=alpha)
    mean = p[0] + 0.5 * p[1] + 0.2 * p[2] + p[3]
    assert 20 <= filter_limit(value) <= 100 * mean + 0.1


def test_unknown_cells_are_slow_whatever_their_posterior() -> None:
    assert limit({ROAD: 1.0}, known=False, unknown=0.3) == 30
    assert limit({PERSON: 1.0}, known=False, unknown=0.3) == 30


@pytest.mark.parametrize(("share", "expected"), [(1.0, 100), (0.7, 70), (0.29, 29), (0.299, 29), (SLOWEST, 1)])
def test_shares_are_rounded_down_but_never_to_0(share: float, expected: int) -> None:
    assert percent(share) == expected
    assert limit({GRASS: 1.0}, slower=((GRASS, share),)) == expected


# -- around a cell -------------------------------------------------------------------------------------------------


def test_the_limit_of_an_obstacle_holds_within_reach_and_no_further() -> None:
    posterior = np.zeros((5, 41, 61), np.float32)
    posterior[ROAD] = 1.0
    posterior[:, 20, 30] = 0.0
    posterior[PERSON, 20, 30] = 1.0
    known = np.ones((41, 61), dtype=bool)
    known[:, 35:] = False
    mask = speed_mask(posterior, known, matrix(reach=0.7, unknown=0.3), RESOLUTION)
    rows, cols = np.mgrid[:41, :61]
    near = np.hypot(rows - 20, cols - 30) <= 7
    assert (mask[near] == 20).all(), "unknown cells near a person, too"
    assert (mask[~near & known] == 100).all(), "unknown cells do not limit known cells next to them"
    assert (mask[~near & ~known] == 30).all()


def test_slow_ground_limits_only_its_own_cells() -> None:
    posterior = np.zeros((5, 9, 9), np.float32)
    posterior[ROAD, :, :5], posterior[GRASS, :, 5:] = 1.0, 1.0
    mask = speed_mask(posterior, np.ones((9, 9), dtype=bool), matrix(reach=1.0), RESOLUTION)
    assert (mask[:, :5] == 100).all() and (mask[:, 5:] == 50).all()


def test_the_lowest_of_the_own_limit_and_those_of_obstacles_around_counts() -> None:
    generator = np.random.default_rng(3)
    posterior = np.moveaxis(generator.dirichlet(np.full(5, 0.2), (25, 31)), -1, 0).astype(np.float32)
    known = generator.random((25, 31)) < 0.7
    only_people = matrix(slower=((PERSON, 0.2),), unknown=1.0)
    past = speed_mask(posterior, known, only_people, RESOLUTION)
    alone, reaching = (speed_mask(posterior, known, matrix(reach=reach), RESOLUTION) for reach in (0.0, 0.35))
    rows, cols = np.mgrid[:25, :31]
    for row in range(25):
        for col in range(31):
            near = np.hypot(rows - row, cols - col) <= 3.5
            assert reaching[row, col] == min(past[near].min(), alone[row, col])


# -- the grid ------------------------------------------------------------------------------------------------------


def test_an_empty_grid_is_slow_everywhere_and_grass_is_slow_once_it_is_known() -> None:
    settings = GridSettings(width=2.0, height=1.0, resolution=0.1, half_life=2.0, prior_strength=0.001)
    grid, rule = EvidenceGrid(settings, 4), matrix(unknown=0.3)
    mask = speed_mask(*grid.posterior(rule), rule, settings.resolution)
    assert mask.shape == (10, 20) and (mask == 30).all()
    for stamp in range(20):
        grid.add(np.array([[0.05, 0.05]]), np.float32([[0, 1, 0, 0]]), np.float32([1.0]), stamp)
    mask = speed_mask(*grid.posterior(rule), rule, settings.resolution)
    assert mask[5, 10] in (49, 50) and (mask == 30).sum() == 199


# -- the file ------------------------------------------------------------------------------------------------------


def read(tmp_path: Path, speed: str) -> SpeedRule:
    path = tmp_path / "matrix.yaml"
    path.write_text(TEXT + speed)
    return CostMatrix.load(path, CLASSES).speed


def test_without_a_speed_section_only_unknown_cells_are_slow(tmp_path: Path) -> None:
    rule = read(tmp_path, "")
    assert rule.shares(4).tolist() == [1.0] * 4
    assert 0 < rule.unknown < 1


def test_a_section_is_read_by_class_names(tmp_path: Path) -> None:
    rule = read(tmp_path, "speed: {classes: {Person: 0.2, Grass: 0.5}, unknown: 0.4, alpha: 0.5, reach: 1.5}")
    assert rule.shares(4).tolist() == pytest.approx([1.0, 0.5, 0.2, 1.0])
    assert (rule.unknown, rule.alpha, rule.reach) == (0.4, 0.5, 1.5)


@pytest.mark.parametrize(
    ("speed", "sentence"),
    [
        ("{classes: {Gras: 0.5}}", "key 'speed.classes.Gras': is no class of the model (did you mean 'Grass'?); it has"
         " Road, Grass, Person, Sky."),
        ("{classes: {Grass: 0}}", "key 'speed.classes.Grass': is 0, but must lie within 0.01 to 1."),
        ("{classes: {Grass: 1.5}}", "key 'speed.classes.Grass': is 1.5, but must lie within 0.01 to 1."),
        ("{unknown: 0}", "key 'speed.unknown': is 0, but must lie within 0.01 to 1."),
        ("{alpha: 1}", "key 'speed.alpha': is 1, but must lie within 0 to 0.999."),
        ("{reach: -1}", "key 'speed.reach': is -1, but must lie within 0 to 5."),
        ("{unknwon: 1}", "key 'speed.unknwon': is not a known key (did you mean 'unknown'?); known here:"),
        ("{classes: [Grass]}", "key 'speed.classes': must be a mapping (key: value), not a list."),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, speed: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"speed: {speed}")
    assert str(caught.value).startswith(f"{tmp_path / 'matrix.yaml'}, {sentence}")


@pytest.mark.parametrize("name", ["road_car", "sidewalk_robot", "cautious"])
def test_the_shipped_matrices_are_slow_near_people_and_on_unknown_cells(name: str) -> None:
    classes = (
        "Sky", "Building", "Pole", "Road", "Pavement", "Grass", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
        "Bicyclist",
    )  # fmt: skip
    rule = CostMatrix.load(find(f"config/cost_matrices/{name}.yaml"), classes).speed
    shares = dict(zip(classes, rule.shares(12).tolist(), strict=True))
    assert shares["Pedestrian"] == min(shares.values()) < 0.5
    assert max(shares["Road"], shares["Pavement"]) == 1.0
    assert rule.unknown < 0.5 and rule.reach >= 1.0
