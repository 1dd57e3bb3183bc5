"""Evidence decay and clearing, against closed forms and a plain implementation of the rule."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seg_perception.costmap.decay import EvidenceDecay
from seg_perception.costmap.evidence_grid import EvidenceGrid
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.grid import GridSettings

ROAD, PERSON, SKY = range(3)
SECOND = 1_000_000_000
HERE = np.array([[0.05, 0.05]])
CELL = (5, 10)
SETTINGS = GridSettings(width=2.0, height=1.0, resolution=0.1, half_life=2.0, prior_strength=0.1, min_evidence=0.5)
MATRIX = CostMatrix(
    classes=("Road", "Person", "Sky"),
    misclassification=(1 - np.eye(3)).astype(np.float32),
    traverse=np.array([0.0, 5080.0, 254.0], dtype=np.float32),
    standing=np.array([False, True, False]),
    overhang=np.zeros(3, np.float32),
    ignore=np.array([False, False, True]),
    alpha=0.0,
    lethal_at=254.0,
    path=Path("matrix.yaml"),
)


def grid_of(**changes: object) -> EvidenceGrid:
    settings = GridSettings(**{**vars(SETTINGS), **changes})  # type: ignore[arg-type]
    return EvidenceGrid(settings, 3, EvidenceDecay.of(settings, MATRIX))


def observe(grid: EvidenceGrid, person: float, seconds: float, weight: float = 1.0) -> None:
    """One observation of the cell: road, with a share of person."""
    probabilities = np.float32([[1.0 - person, person, 0.0]])
    grid.add(HERE, probabilities, np.float32([weight]), round(seconds * SECOND))


def cost(grid: EvidenceGrid) -> float:
    """Cost of the cell, 255 where unknown."""
    return float(grid.costs(MATRIX)[0][CELL])


def frames(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Observations of every cell, one sample each, at irregular times."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-0.45:0.5:0.1, -0.95:1.0:0.1]
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    stamps = np.cumsum(generator.integers(SECOND // 50, SECOND, count))
    return [
        (
            points,
            generator.dirichlet(np.ones(3), len(points)).astype(np.float32),
            generator.random(len(points)).astype(np.float32),
            int(stamp),
        )
        for stamp in stamps
    ]


def test_with_the_defaults_every_count_follows_the_plain_rule_to_the_byte() -> None:
    """Halve by the half-life, add weight times probability, set negligible counts to 0: nothing else."""
    grid, plain, last = grid_of(), np.zeros((4, 10, 20), np.float32), 0
    for points, probabilities, weights, stamp in frames(1, 12):
        grid.add(points, probabilities, weights, stamp)
        plain *= np.float32(0.5 ** ((stamp - last) / SECOND / 2.0))
        if stamp // (2 * SECOND) != last // (2 * SECOND):
            plain[plain < 1e-9] = 0.0
        counts = (probabilities * weights[:, np.newaxis]).astype(np.float64)
        plain[:3] += counts.T.reshape(3, 10, 20).astype(np.float32)
        last = stamp
    assert grid.evidence.tobytes() == plain.tobytes()


def test_a_cell_decays_with_the_half_lives_of_its_classes() -> None:
    grid = grid_of(half_lives=(("Person", 0.5),))
    for person, seconds, factor in ((0.0, 2.0, 1 / 2), (1.0, 1.0, 1 / 4), (0.25, 1.0, 2 ** -(0.75 / 2 + 0.25 / 0.5))):
        grid.evidence[:] = 0.0
        observe(grid, person, grid.stamp_ns / SECOND)
        grid.advance(grid.stamp_ns + round(seconds * SECOND))
        np.testing.assert_allclose(
            grid.evidence[(slice(None), *CELL)], np.array([1 - person, person, 0, 0]) * factor, rtol=1e-6
        )
    assert grid.evidence.sum() == grid.evidence[(slice(None), *CELL)].sum(), "empty cells stay empty"


def test_equal_half_lives_act_as_one_half_life() -> None:
    named, plain = grid_of(half_lives=(("Person", 2.0), ("Road", 2.0))), grid_of()
    for frame in frames(2, 6):
        named.add(*frame)
        plain.add(*frame)
    np.testing.assert_allclose(named.evidence, plain.evidence, rtol=1e-5)


def test_decay_in_many_steps_equals_decay_in_one_for_all_classes() -> None:
    slow, fast = (grid_of(half_lives=(("Person", 0.3), ("Road", 9.0))) for _ in range(2))
    for grid in (slow, fast):
        grid.add(*frames(3, 1)[0][:3], SECOND)
    for step in range(1, 41):
        slow.advance(SECOND + step * SECOND // 20)
    fast.advance(3 * SECOND)
    np.testing.assert_allclose(slow.evidence, fast.evidence, rtol=1e-4)


def test_time_alone_never_turns_a_person_into_road() -> None:
    grid = grid_of(half_lives=(("Person", 0.2),))
    for step in range(20):
        observe(grid, 0.0, 1 + 0.1 * step)
    for step in range(3):
        observe(grid, 0.9, 3 + 0.1 * step)
    seen = []
    for step in range(80):
        grid.advance(round((3.2 + 0.1 * step) * SECOND))
        seen.append(cost(grid))
    assert seen[0] == 254.0 and seen[-1] == 255.0 and set(seen) == {254.0, 255.0}, "lethal, then unknown, never free"


def test_a_constant_view_keeps_its_probabilities() -> None:
    grid = grid_of(half_lives=(("Person", 0.2),), prior_strength=1e-6)
    for step in range(100):
        observe(grid, 0.04, 1 + 0.1 * step)
    assert math.isclose(cost(grid), 0.04 * 5080, rel_tol=1e-3)


def test_evidence_of_people_decays_faster_than_road_once_road_is_visible() -> None:
    def frames_until_free(**changes: object) -> int:
        grid = grid_of(**changes)
        for step in range(50):
            observe(grid, 1.0, 1 + 0.1 * step)
        for step in range(200):
            observe(grid, 0.0, 6 + 0.1 * step)
            if cost(grid) < 254.0:
                return step + 1
        raise AssertionError("never")

    assert 2 * frames_until_free(half_lives=(("Person", 0.5),)) < frames_until_free()


def test_decayed_counts_become_exactly_0_and_not_slow_denormal_numbers() -> None:
    grid = grid_of(half_life=3600.0, half_lives=(("Person", 0.05),))
    observe(grid, 1.0, 1.0)
    for step in range(200):
        grid.advance(SECOND + step * SECOND // 10)
        remaining = grid.evidence[grid.evidence > 0.0]
        assert not remaining.size or remaining.min() > np.finfo(np.float32).tiny
    assert not grid.evidence.any()


def test_a_late_frame_counts_as_if_it_had_arrived_in_time() -> None:
    changes = {"half_lives": (("Person", 0.5),)}
    late, early = grid_of(**changes), grid_of(**changes)
    late.advance(2 * SECOND)
    observe(late, 0.3, 1.0)
    observe(early, 0.3, 1.0)
    early.advance(2 * SECOND)
    np.testing.assert_allclose(late.evidence, early.evidence, rtol=1e-6)


class TestClearing:
    """Clearing of obstacles that have gone."""

    def test_the_cell_of_a_person_who_walks_away_becomes_free_as_the_formula_says(self) -> None:
        decay, clearing, stood = 0.5 ** (0.1 / 2.0), 0.5, 0.0
        grid = grid_of(clearing=clearing, prior_strength=1e-6)
        for step in range(30):
            observe(grid, 1.0, 1 + 0.1 * step)
            stood = stood * decay + 1.0
        for n in range(1, 10):
            observe(grid, 0.0, 3.9 + 0.1 * n)
            left, ground = stood * (decay * (1 - clearing)) ** n, (1 - decay**n) / (1 - decay)
            share = left / (left + ground)
            expected = 254.0 if share * 5080 >= 254.0 else share * 5080
            assert math.isclose(cost(grid), expected, rel_tol=1e-4), n
        assert cost(grid) < 254.0

    def test_one_full_observation_with_clearing_of_1_clears_all(self) -> None:
        grid = grid_of(clearing=1.0)
        observe(grid, 1.0, 1.0)
        observe(grid, 0.0, 1.1)
        assert grid.evidence[PERSON].max() == 0.0 and grid.evidence[ROAD].max() > 0.9

    def test_two_observations_of_half_weight_clear_as_much_as_a_full_one(self) -> None:
        half, whole = grid_of(clearing=0.7, half_life=3600.0), grid_of(clearing=0.7, half_life=3600.0)
        for grid, weights in ((half, (0.5, 0.5)), (whole, (1.0,))):
            observe(grid, 1.0, 1.0)
            for number, weight in enumerate(weights, start=1):
                observe(grid, 0.0, 1.0 + 0.01 * number, weight)
        np.testing.assert_allclose(half.evidence, whole.evidence, rtol=1e-5)

    def test_without_an_observation_nothing_is_cleared(self) -> None:
        clearing, plain = grid_of(clearing=0.9), grid_of()
        sky, unseen = np.float32([[0.0, 0.0, 1.0]]), np.float32([[1.0, 0.0, 0.0]])
        for grid in (clearing, plain):
            observe(grid, 1.0, 1.0)
            grid.add(HERE, unseen, np.float32([0.0]), round(1.1 * SECOND))
            grid.add(HERE + 0.5, unseen, np.float32([1.0]), round(1.2 * SECOND))
            grid.add(HERE, np.float32([[math.nan, 0.0, 0.0]]), np.float32([1.0]), round(1.3 * SECOND))
            grid.add(HERE, sky, np.float32([1.0]), round(1.4 * SECOND))
            grid.advance(2 * SECOND)
        assert clearing.evidence[PERSON].tobytes() == plain.evidence[PERSON].tobytes()

    def test_a_constant_view_keeps_its_probabilities(self) -> None:
        for person in (0.0, 0.04, 0.3, 0.7):
            grid = grid_of(clearing=0.8, prior_strength=1e-6)
            for step in range(60):
                observe(grid, person, 1 + 0.1 * step)
            total = grid.evidence.sum()
            assert math.isclose(grid.evidence[PERSON].sum() / total, person, abs_tol=1e-5)

    def test_a_frame_that_is_late_or_simultaneous_clears_nothing(self) -> None:
        for stamp in (1.5, 2.0):
            clearing, plain = grid_of(clearing=0.9), grid_of()
            for grid in (clearing, plain):
                observe(grid, 1.0, 2.0)
                observe(grid, 0.0, stamp)
            assert clearing.evidence.tobytes() == plain.evidence.tobytes()

    def test_a_measured_obstacle_is_only_cleared_where_heights_are_measured_again(self) -> None:
        grid, road = grid_of(clearing=1.0), np.float32([[1.0, 0.0, 0.0, 0.0]])
        grid.add(HERE, np.float32([[0.0, 0.3, 0.0, 0.7]]), np.float32([1.0]), SECOND)
        observe(grid, 0.0, 1.1)
        assert grid.evidence[-1].max() > 0.6 and cost(grid) == 254.0
        grid.add(HERE, road, np.float32([1.0]), round(1.2 * SECOND))
        assert grid.evidence[[PERSON, -1]].max() == 0.0 and cost(grid) < 254.0

    def test_several_samples_of_a_cell_clear_as_one_observation(self) -> None:
        several, one = grid_of(clearing=0.5), grid_of(clearing=0.5)
        for grid, count in ((several, 5), (one, 1)):
            observe(grid, 1.0, 1.0)
            grid.add(
                np.repeat(HERE, count, axis=0), np.float32([[1, 0, 0]] * count), np.ones(count, np.float32), 2 * SECOND
            )
        np.testing.assert_allclose(several.evidence, one.evidence, rtol=1e-6)


class TestUncertainty:
    """Cells with enough evidence, but an uncertain class."""

    CHEAP = replace(MATRIX, traverse=np.array([0.0, 200.0, 254.0], dtype=np.float32))

    @pytest.mark.parametrize("person", [0.0, 0.02, 0.1, 0.3, 0.5])
    def test_a_cell_is_unknown_exactly_above_the_entropy_computed_by_hand(self, person: float) -> None:
        masses = [
            (person + 0.05) / 1.1,
            (1 - person + 0.05) / 1.1,
        ]  # one count and a prior of 0.1 for two classes
        share = -sum(mass * math.log(mass) for mass in masses) / math.log(3)  # Road, Person, obstacle; Sky is ignored
        for limit, known in ((share - 1e-3, False), (share + 1e-3, True)):
            grid = grid_of(max_entropy=limit)
            observe(grid, person, 1.0)
            assert grid.costs(self.CHEAP)[1][CELL] == known
            assert (grid.costs(self.CHEAP)[0][CELL] == 255.0) == (not known)

    def test_an_uncertain_lethal_cell_stays_lethal(self) -> None:
        grid = grid_of(max_entropy=0.1)
        observe(grid, 0.5, 1.0)
        assert cost(grid) == 254.0

    def test_a_limit_of_1_allows_every_uncertainty(self) -> None:
        grid = grid_of()
        grid.evidence[:] = 1.0
        known = replace(self.CHEAP, traverse=np.zeros(3, np.float32), lethal_at=2000.0)
        assert grid.costs(known)[1].all()


class TestAge:
    """Time since each cell was last seen."""

    def test_age_is_the_time_since_a_cell_was_last_seen_also_after_the_grid_moved(self) -> None:
        grid = grid_of()
        observe(grid, 0.0, 1.0)
        grid.add(HERE + 0.2, np.float32([[1, 0, 0]]), np.float32([0.1]), round(2.5 * SECOND))
        observe(grid, 0.0, 2.0)  # a late frame
        grid.move_onto(grid.bounds_at(0.35, 0.15))
        grid.advance(4 * SECOND)
        age, row, col = grid.age(), CELL[0] - 1, CELL[1] - 3
        assert age[row, col] == 2.0 and age[row + 2, col + 2] == 1.5
        assert np.isinf(age).sum() == age.size - 2, "all others were never seen"

    def test_samples_without_evidence_do_not_count_as_seen(self) -> None:
        grid = grid_of()
        observe(grid, 0.0, 1.0, weight=0.0)
        grid.add(HERE, np.float32([[math.nan, 0, 0]]), np.float32([1.0]), SECOND)
        assert np.isinf(grid.age()).all()

    def test_it_starts_again_when_time_is_set_back(self) -> None:
        grid = grid_of()
        observe(grid, 0.0, 100.0)
        grid.add(HERE + 0.2, np.float32([[1, 0, 0]]), np.float32([1.0]), SECOND)
        assert np.isfinite(grid.age()).sum() == 1 and grid.age().min() == 0.0

    def test_a_saved_grid_keeps_it(self) -> None:
        grid = grid_of()
        observe(grid, 0.0, 1.0)
        grid.advance(3 * SECOND)
        assert EvidenceGrid.from_arrays(SETTINGS, grid.to_arrays()).age().tobytes() == grid.age().tobytes()
