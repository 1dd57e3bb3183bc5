"""The shipped cost matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.risk.measures import bayes_decision, cvar

SHIPPED = sorted((Path(__file__).parents[3] / "config" / "cost_matrices").glob("*.yaml"))
SHIPPED_CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
    "Grass",
)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
class TestShippedMatrices:
    """Properties of the three shipped matrices."""

    @pytest.fixture
    def matrix(self, file: Path) -> CostMatrix:
        return CostMatrix.load(file, SHIPPED_CLASSES)

    @pytest.fixture
    def home(self, file: Path) -> str:
        """The ground this robot belongs on."""
        return "Pavement" if file.stem == "sidewalk_robot" else "Road"

    def posterior(self, home: str, **others: float) -> np.ndarray:
        """The home ground, with some percent of other classes."""
        percent = {home: 100.0 - sum(others.values()), **others}
        return np.array([percent.get(name, 0.0) / 100.0 for name in SHIPPED_CLASSES])

    def risk(self, matrix: CostMatrix, posterior: np.ndarray) -> float:
        return float(cvar(posterior, matrix.traverse, matrix.alpha))

    def label(self, matrix: CostMatrix, posterior: np.ndarray) -> str:
        return SHIPPED_CLASSES[bayes_decision(posterior, matrix.misclassification)]

    def test_its_own_ground_is_free_and_hazards_are_lethal(self, matrix: CostMatrix, home: str) -> None:
        assert self.risk(matrix, self.posterior(home)) == 0.0
        for name, standing in zip(SHIPPED_CLASSES, matrix.standing, strict=True):
            if standing:
                assert matrix.traverse[SHIPPED_CLASSES.index(name)] > matrix.lethal_at

    def test_the_uncertainty_of_a_calibrated_network_on_free_ground_is_cheap(
        self, matrix: CostMatrix, home: str
    ) -> None:
        posterior = self.posterior(
            home, Car=0.4, Pedestrian=0.1, Bicyclist=0.1, Building=0.3, Fence=0.3, Tree=0.2, Grass=0.5
        )
        assert self.risk(matrix, posterior) < 80.0
        assert self.label(matrix, posterior) == home

    def test_ten_percent_of_a_pedestrian_is_lethal_and_decides_the_label(self, matrix: CostMatrix, home: str) -> None:
        posterior = self.posterior(home, Pedestrian=10.0)
        assert self.risk(matrix, posterior) >= matrix.lethal_at
        assert self.label(matrix, posterior) == "Pedestrian"

    def test_people_cost_more_than_cars_and_cars_more_than_fixed_objects(self, matrix: CostMatrix, home: str) -> None:
        people, cars, fences = (
            self.risk(matrix, self.posterior(home, **{name: 1.0})) for name in ("Pedestrian", "Car", "Fence")
        )
        assert people > cars > fences > 0.0


def test_the_cautious_matrix_is_lethal_at_half_the_probability_of_the_plain_one() -> None:
    plain, cautious = (
        CostMatrix.load(next(file for file in SHIPPED if file.stem == name), SHIPPED_CLASSES)
        for name in ("road_car", "cautious")
    )
    road, person = SHIPPED_CLASSES.index("Road"), SHIPPED_CLASSES.index("Pedestrian")
    for percent, lethal_to_plain, lethal_to_cautious in ((2.4, False, False), (2.6, False, True), (5.1, True, True)):
        posterior = np.zeros(12)
        posterior[[road, person]] = 1.0 - percent / 100.0, percent / 100.0
        assert (cvar(posterior, plain.traverse, plain.alpha) >= plain.lethal_at) == lethal_to_plain
        assert (cvar(posterior, cautious.traverse, cautious.alpha) >= cautious.lethal_at) == lethal_to_cautious


def test_three_matrices_are_shipped() -> None:
    assert [file.stem for file in SHIPPED] == ["cautious", "road_car", "sidewalk_robot"]
