"""What the grid forgets and how soon, against closed forms and the rule written out plainly."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seg_perception.costmap.decay import ClassMemory
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
    return EvidenceGrid(settings, 3, ClassMemory.of(settings, MATRIX))


def see(grid: EvidenceGrid, person: float, seconds: float, weight: float = 1.0) -> None:
    """One look at the cell, which shows road but for a share of person."""
    probabilities = np.float32([[1.0 - person, person, 0.0]])
    grid.add(HERE, probabilities, np.float32([weight]), round(seconds * SECOND))


def cost(grid: EvidenceGrid) -> float:
    """Of the cell, 255 where unknown."""
    return float(grid.costs(MATRIX)[0][CELL])


def frames(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Looks at every cell, one sample each, at uneven times."""
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


def test_with_the_defaults_every_count_is_the_plain_rule_to_the_byte() -> None:
    """Halve by the half-life, add weight times probability, forget what is next to nothing: no more than that."""
    grid, plain, last = grid_of(), np.zeros((4, 10, 20), np.float32), 0
    for points, probabilities, weights, stamp in frames(1, 12):
        grid.add(points, probabilities, weights, stamp)
        plain *= np.float32(0.5 ** ((stamp - last) / SECOND / 2.0))
        if stamp // (2 * SECOND) != last // (2 * SECOND):
            plain[plain < 1e-9] = 0.0
        look = (probabilities * weights[:, np.newaxis]).astype(np.float64)
        plain[:3] += look.T.reshape(3, 10, 20).astype(np.float32)
        last = stamp
    assert grid.evidence.tobytes() == plain.tobytes()


def test_a_cell_fades_with_the_half_lives_of_what_it_holds() -> None:
    grid = grid_of(half_lives=(("Person", 0.5),))
    for person, seconds, left in ((0.0, 2.0, 1 / 2), (1.0, 1.0, 1 / 4), (0.25, 1.0, 2 ** -(0.75 / 2 + 0.25 / 0.5))):
        grid.evidence[:] = 0.0
        see(grid, person, grid.stamp_ns / SECOND)
        grid.advance(grid.stamp_ns + round(seconds * SECOND))
        np.testing.assert_allclose(
            grid.evidence[(slice(None), *CELL)], np.array([1 - person, person, 0, 0]) * left, rtol=1e-6
        )
    assert grid.evidence.sum() == grid.evidence[(slice(None), *CELL)].sum(), "cells that hold nothing keep nothing"


def test_half_lives_that_are_all_the_same_are_one_half_life() -> None:
    named, plain = grid_of(half_lives=(("Person", 2.0), ("Road", 2.0))), grid_of()
    for frame in frames(2, 6):
        named.add(*frame)
        plain.add(*frame)
    np.testing.assert_allclose(named.evidence, plain.evidence, rtol=1e-5)


def test_ageing_in_many_steps_equals_ageing_in_one_whatever_the_classes() -> None:
    slow, fast = (grid_of(half_lives=(("Person", 0.3), ("Road", 9.0))) for _ in range(2))
    for grid in (slow, fast):
        grid.add(*frames(3, 1)[0][:3], SECOND)
    for step in range(1, 41):
        slow.advance(SECOND + step * SECOND // 20)
    fast.advance(3 * SECOND)
    np.testing.assert_allclose(slow.evidence, fast.evidence, rtol=1e-4)


def test_time_alone_never_makes_a_person_road() -> None:
    grid = grid_of(half_lives=(("Person", 0.2),))
    for step in range(20):
        see(grid, 0.0, 1 + 0.1 * step)
    for step in range(3):
        see(grid, 0.9, 3 + 0.1 * step)
    seen = []
    for step in range(80):
        grid.advance(round((3.2 + 0.1 * step) * SECOND))
        seen.append(cost(grid))
    assert seen[0] == 254.0 and seen[-1] == 255.0 and set(seen) == {254.0, 255.0}, "lethal, then unknown, never free"


def test_a_steady_view_is_remembered_as_it_is_seen() -> None:
    grid = grid_of(half_lives=(("Person", 0.2),), prior_strength=1e-6)
    for step in range(100):
        see(grid, 0.04, 1 + 0.1 * step)
    assert math.isclose(cost(grid), 0.04 * 5080, rel_tol=1e-3)


def test_people_are_forgotten_sooner_than_road_once_road_is_seen() -> None:
    def frames_until_free(**changes: object) -> int:
        grid = grid_of(**changes)
        for step in range(50):
            see(grid, 1.0, 1 + 0.1 * step)
        for step in range(200):
            see(grid, 0.0, 6 + 0.1 * step)
            if cost(grid) < 254.0:
                return step + 1
        raise AssertionError("never")

    assert 2 * frames_until_free(half_lives=(("Person", 0.5),)) < frames_until_free()


def test_what_fades_fast_ends_as_exactly_nothing_and_not_as_slow_denormal_numbers() -> None:
    grid = grid_of(half_life=3600.0, half_lives=(("Person", 0.05),))
    see(grid, 1.0, 1.0)
    for step in range(200):
        grid.advance(SECOND + step * SECOND // 10)
        left = grid.evidence[grid.evidence > 0.0]
        assert not left.size or left.min() > np.finfo(np.float32).tiny
    assert not grid.evidence.any()


def test_a_late_frame_of_one_cell_counts_as_if_it_had_come_in_time() -> None:
    changes = {"half_lives": (("Person", 0.5),)}
    late, early = grid_of(**changes), grid_of(**changes)
    late.advance(2 * SECOND)
    see(late, 0.3, 1.0)
    see(early, 0.3, 1.0)
    early.advance(2 * SECOND)
    np.testing.assert_allclose(late.evidence, early.evidence, rtol=1e-6)


class TestClearing:
    """What was seen to stand, and then not to."""

    def test_a_person_who_walks_away_leaves_a_free_cell_after_as_many_frames_as_the_formula_says(self) -> None:
        decay, clearing, stood = 0.5 ** (0.1 / 2.0), 0.5, 0.0
        grid = grid_of(clearing=clearing, prior_strength=1e-9)
        for step in range(30):
            see(grid, 1.0, 1 + 0.1 * step)
            stood = stood * decay + 1.0
        for n in range(1, 10):
            see(grid, 0.0, 3.9 + 0.1 * n)
            left, ground = stood * (decay * (1 - clearing)) ** n, (1 - decay**n) / (1 - decay)
            share = left / (left + ground)
            expected = 254.0 if share * 5080 >= 254.0 else share * 5080
            assert math.isclose(cost(grid), expected, rel_tol=1e-4), n
        assert cost(grid) < 254.0

    def test_one_clear_look_with_clearing_of_one_takes_all(self) -> None:
        grid = grid_of(clearing=1.0)
        see(grid, 1.0, 1.0)
        see(grid, 0.0, 1.1)
        assert grid.evidence[PERSON].max() == 0.0 and grid.evidence[ROAD].max() > 0.9

    def test_two_half_looks_clear_as_much_as_a_whole_one(self) -> None:
        half, whole = grid_of(clearing=0.7, half_life=1e6), grid_of(clearing=0.7, half_life=1e6)
        for grid, looks in ((half, (0.5, 0.5)), (whole, (1.0,))):
            see(grid, 1.0, 1.0)
            for number, weight in enumerate(looks, start=1):
                see(grid, 0.0, 1.0 + number, weight)
        np.testing.assert_allclose(half.evidence, whole.evidence, rtol=1e-5)

    def test_without_a_look_nothing_is_cleared(self) -> None:
        clearing, plain = grid_of(clearing=0.9), grid_of()
        sky, unseen = np.float32([[0.0, 0.0, 1.0]]), np.float32([[1.0, 0.0, 0.0]])
        for grid in (clearing, plain):
            see(grid, 1.0, 1.0)
            grid.add(HERE, unseen, np.float32([0.0]), round(1.1 * SECOND))
            grid.add(HERE + 0.5, unseen, np.float32([1.0]), round(1.2 * SECOND))
            grid.add(HERE, np.float32([[math.nan, 0.0, 0.0]]), np.float32([1.0]), round(1.3 * SECOND))
            grid.add(HERE, sky, np.float32([1.0]), round(1.4 * SECOND))
            grid.advance(2 * SECOND)
        assert clearing.evidence[PERSON].tobytes() == plain.evidence[PERSON].tobytes()

    def test_a_steady_view_is_remembered_as_it_is_seen(self) -> None:
        for person in (0.0, 0.04, 0.3, 0.7):
            grid = grid_of(clearing=0.8, prior_strength=1e-9)
            for step in range(60):
                see(grid, person, 1 + 0.1 * step)
            total = grid.evidence.sum()
            assert math.isclose(grid.evidence[PERSON].sum() / total, person, abs_tol=1e-5)

    def test_a_frame_that_comes_late_or_from_the_same_moment_undoes_nothing(self) -> None:
        for stamp in (1.5, 2.0):
            clearing, plain = grid_of(clearing=0.9), grid_of()
            for grid in (clearing, plain):
                see(grid, 1.0, 2.0)
                see(grid, 0.0, stamp)
            assert clearing.evidence.tobytes() == plain.evidence.tobytes()

    def test_an_obstacle_told_by_its_height_goes_when_heights_are_measured_again_and_only_then(self) -> None:
        grid, road = grid_of(clearing=1.0), np.float32([[1.0, 0.0, 0.0, 0.0]])
        grid.add(HERE, np.float32([[0.0, 0.3, 0.0, 0.7]]), np.float32([1.0]), SECOND)
        see(grid, 0.0, 1.1)
        assert grid.evidence[-1].max() > 0.6 and cost(grid) == 254.0
        grid.add(HERE, road, np.float32([1.0]), round(1.2 * SECOND))
        assert grid.evidence[[PERSON, -1]].max() == 0.0 and cost(grid) < 254.0

    def test_several_samples_of_a_cell_clear_as_the_one_look_that_they_are(self) -> None:
        several, one = grid_of(clearing=0.5), grid_of(clearing=0.5)
        for grid, count in ((several, 5), (one, 1)):
            see(grid, 1.0, 1.0)
            grid.add(
                np.repeat(HERE, count, axis=0), np.float32([[1, 0, 0]] * count), np.ones(count, np.float32), 2 * SECOND
            )
        np.testing.assert_allclose(several.evidence, one.evidence, rtol=1e-6)


class TestDoubt:
    """Evidence enough, and yet no saying what it is of."""

    CHEAP = replace(MATRIX, traverse=np.array([0.0, 200.0, 254.0], dtype=np.float32))

    @pytest.mark.parametrize("person", [0.0, 0.02, 0.1, 0.3, 0.5])
    def test_a_cell_is_unknown_exactly_above_the_entropy_worked_out_by_hand(self, person: float) -> None:
        masses = [(person + 0.05) / 1.1, (1 - person + 0.05) / 1.1]  # one look and a prior of 0.1 for two classes
        share = -sum(mass * math.log(mass) for mass in masses) / math.log(3)  # Road, Person, obstacle; Sky is ignored
        for limit, known in ((share - 1e-3, False), (share + 1e-3, True)):
            grid = grid_of(max_entropy=limit)
            see(grid, person, 1.0)
            assert grid.costs(self.CHEAP)[1][CELL] == known
            assert (grid.costs(self.CHEAP)[0][CELL] == 255.0) == (not known)

    def test_what_is_lethal_stays_lethal_in_doubt(self) -> None:
        grid = grid_of(max_entropy=0.1)
        see(grid, 0.5, 1.0)
        assert cost(grid) == 254.0

    def test_a_limit_of_one_lets_every_doubt_pass(self) -> None:
        grid = grid_of()
        grid.evidence[:] = 1.0
        known = replace(self.CHEAP, traverse=np.zeros(3, np.float32), lethal_at=2000.0)
        assert grid.costs(known)[1].all()


class TestAge:
    """When each cell was last seen."""

    def test_age_is_the_time_since_a_cell_was_last_seen_wherever_the_grid_has_moved(self) -> None:
        grid = grid_of()
        see(grid, 0.0, 1.0)
        grid.add(HERE + 0.2, np.float32([[1, 0, 0]]), np.float32([0.1]), round(2.5 * SECOND))
        see(grid, 0.0, 2.0)  # a late frame
        grid.move_onto(grid.raster_at(0.35, 0.15))
        grid.advance(4 * SECOND)
        age, row, col = grid.age(), CELL[0] - 1, CELL[1] - 3
        assert age[row, col] == 2.0 and age[row + 2, col + 2] == 1.5
        assert np.isinf(age).sum() == age.size - 2, "all others were never seen"

    def test_what_gives_no_evidence_is_not_seen(self) -> None:
        grid = grid_of()
        see(grid, 0.0, 1.0, weight=0.0)
        grid.add(HERE, np.float32([[math.nan, 0, 0]]), np.float32([1.0]), SECOND)
        assert np.isinf(grid.age()).all()

    def test_it_starts_anew_when_time_is_set_back(self) -> None:
        grid = grid_of()
        see(grid, 0.0, 100.0)
        grid.add(HERE + 0.2, np.float32([[1, 0, 0]]), np.float32([1.0]), SECOND)
        assert np.isfinite(grid.age()).sum() == 1 and grid.age().min() == 0.0

    def test_a_saved_grid_keeps_it(self) -> None:
        grid = grid_of()
        see(grid, 0.0, 1.0)
        grid.advance(3 * SECOND)
        assert EvidenceGrid.from_arrays(SETTINGS, grid.to_arrays()).age().tobytes() == grid.age().tobytes()
