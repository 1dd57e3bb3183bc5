"""The losses of a training plan. Needs no torch; docs/how_to/training.md describes the keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.yaml_file import Section, did_you_mean

_LARGEST_WEIGHT = 100.0


@dataclass(frozen=True)
class Region:
    """Weights of pixels by class and nearness to borders, see `losses.region.region_weights`.

    Attributes:
        class_weights: a factor per class, K of them.
        border_width: depth of the band along borders, pixels; 0 for none.
        border_weight: further factor within the band.
    """

    class_weights: tuple[float, ...]
    border_width: int
    border_weight: float


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy with its factor in the sum; `label_smoothing` is ε, `region` None where all pixels count alike."""

    weight: float
    label_smoothing: float
    region: Region | None


@dataclass(frozen=True)
class Focal:
    """Focal loss with its factor in the sum; `gamma` is γ."""

    weight: float
    gamma: float


@dataclass(frozen=True)
class Dice:
    """Dice loss with its factor in the sum."""

    weight: float


@dataclass(frozen=True)
class Jaccard:
    """Jaccard loss with its factor in the sum."""

    weight: float


@dataclass(frozen=True)
class Tversky:
    """Tversky loss with its factor in the sum; `alpha` weighs false alarms, `beta` misses."""

    weight: float
    alpha: float
    beta: float


@dataclass(frozen=True, eq=False)
class ExpectedCost:
    """Expected cost with its factor in the sum; `costs` is C float32 [K, K], C[decision, true class]."""

    weight: float
    costs: NDArray[np.float32]


@dataclass(frozen=True)
class PointSupervision:
    """The loss of point labels (`clicks`) with its factor in the sum."""

    weight: float


Loss: TypeAlias = "CrossEntropy | Focal | Dice | Jaccard | Tversky | ExpectedCost | PointSupervision"


@dataclass(frozen=True)
class ClassBalance:
    """How far cross-entropy and focal loss favour rare labels.

    Full inverse frequency (power 1) gives many false positives of rare classes and ruins calibration. With none (power
    0) a short run does not learn rare classes.

    Attributes:
        power: exponent of the inverse frequency, 0 to 1.
        most: largest weight of a label.
    """

    power: float = 0.25
    most: float = 4.0

    def weights(self, counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weight ∝ frequency^−power, 1 in the mean over labelled pixels.

        Args:
            counts: [K+G], labelled pixels of each label in the training data.

        Returns:
            float32 [K+G].
        """
        share = counts / max(counts.sum(), 1)
        # Without a floor, a label that never occurs would have an infinite weight.
        weight = np.maximum(share, 1e-4) ** -self.power
        return np.asarray(np.minimum(weight / max((share * weight).sum(), 1e-6), self.most), np.float32)


@dataclass(frozen=True)
class LossPlan:
    """What training minimises: the sum of `losses`, each times its weight; `balance` weighs the labels."""

    losses: tuple[Loss, ...]
    balance: ClassBalance


def read_loss_plan(settings: Section, classes: tuple[str, ...], folder: Path) -> LossPlan:
    """Read `losses`, a mapping from name to a factor or to options, and `class_weights` where it is given.

    Args:
        settings: the YAML section that holds both.
        classes: the class names of the network.
        folder: that the path of a cost matrix starts from.

    Raises:
        ConfigError: a loss or an option is unknown or out of range, all weights are 0, or the cost matrix is
            wrong.
    """
    section = settings.section("losses")
    losses = []
    for name in section:
        if name not in _READERS:
            known = ", ".join(_READERS)
            raise section.error(str(name), f"is not a loss{did_you_mean(str(name), _READERS)}; use one of {known}.")
        losses.append(_read_loss(section, name, classes, folder))
    if not any(loss.weight for loss in losses):
        raise settings.error("losses", "gives no loss a weight above 0, so nothing would be learnt; add one.")
    return LossPlan(tuple(losses), _read_balance(settings))


def _read_loss(section: Section, name: str, classes: tuple[str, ...], folder: Path) -> Loss:
    if isinstance(section.value(name), Mapping):
        options = section.section(name)
        weight = options.number("weight", 0.0, _LARGEST_WEIGHT)
    else:
        options = Section(section.path, f"{section.name}.{name}", {})
        weight = section.number(name, 0.0, _LARGEST_WEIGHT)
    loss = _READERS[name](options, weight, classes, folder)
    options.finish()
    return loss


def _read_cross_entropy(options: Section, weight: float, classes: tuple[str, ...], folder: Path) -> CrossEntropy:
    smoothing = options.number("label_smoothing", 0.0, 0.5) if "label_smoothing" in options else 0.0
    return CrossEntropy(
        weight, smoothing, _read_region(options.section("region"), classes) if "region" in options else None
    )


def _read_region(section: Section, classes: tuple[str, ...]) -> Region:
    factors = dict.fromkeys(classes, 1.0)
    if "classes" in section:
        named = section.section("classes")
        factors |= {name: named.number(name, 0.0, _LARGEST_WEIGHT) for name in classes if name in named}
        named.finish()
    width, factor = 0, 1.0
    if "border" in section:
        border = section.section("border")
        width, factor = border.integer("width", 1, 32), border.number("weight", 0.0, _LARGEST_WEIGHT)
        border.finish()
    section.finish()
    return Region(tuple(factors.values()), width, factor)


def _read_focal(options: Section, weight: float, classes: tuple[str, ...], folder: Path) -> Focal:
    return Focal(weight, options.number("gamma", 0.0, 10.0) if "gamma" in options else 2.0)


def _read_tversky(options: Section, weight: float, classes: tuple[str, ...], folder: Path) -> Tversky:
    alpha = options.number("alpha", 0.0, 1.0) if "alpha" in options else 0.3
    return Tversky(weight, alpha, options.number("beta", 0.01, 1.0) if "beta" in options else 0.7)


def _read_expected_cost(options: Section, weight: float, classes: tuple[str, ...], folder: Path) -> ExpectedCost:
    costs = CostMatrix.load(folder / options.text("matrix"), classes).misclassification
    if not costs[~np.eye(len(classes), dtype=bool)].any():
        raise options.error(
            "matrix", "is a matrix in which no mistake costs anything, so nothing would be learnt; choose another."
        )
    return ExpectedCost(weight, costs)


_READERS: dict[str, Callable[[Section, float, tuple[str, ...], Path], Loss]] = {
    "cross_entropy": _read_cross_entropy,
    "focal": _read_focal,
    "dice": lambda options, weight, classes, folder: Dice(weight),
    "jaccard": lambda options, weight, classes, folder: Jaccard(weight),
    "tversky": _read_tversky,
    "cost_matrix": _read_expected_cost,
    "clicks": lambda options, weight, classes, folder: PointSupervision(weight),
}


def _read_balance(settings: Section) -> ClassBalance:
    balance = ClassBalance()
    if "class_weights" not in settings:
        return balance
    section = settings.section("class_weights")
    power = section.number("power", 0.0, 1.0) if "power" in section else balance.power
    most = section.number("most", 1.0, 1000.0) if "most" in section else balance.most
    section.finish()
    return ClassBalance(power, most)
