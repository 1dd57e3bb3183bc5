"""The losses of a plan: reading the YAML, and messages about mistakes in it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import Section, load_yaml
from seg_perception.training.loss_plan import (
    ClassBalance,
    CrossEntropy,
    Dice,
    ExpectedCost,
    Focal,
    Jaccard,
    LossPlan,
    Region,
    Tversky,
    read_loss_plan,
)

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how_to" / "training.md"
CLASSES = ("Road", "Person", "Wall")
MATRIX = """
misclassification: {default: DEFAULT, correct: 0, Road: {Person: HIT}}
traverse: {Wall: 1016, Person: 5080, Road: 0}
standing: []
ignore: []
"""


def _read(folder: Path, losses: str, other: str = "") -> LossPlan:
    (folder / "costs").mkdir(exist_ok=True)
    (folder / "costs" / "m.yaml").write_text(MATRIX.replace("DEFAULT", "1").replace("HIT", "19"), encoding="utf-8")
    (folder / "costs" / "free.yaml").write_text(MATRIX.replace("DEFAULT", "0").replace("HIT", "0"), encoding="utf-8")
    path = folder / "plan.yaml"
    path.write_text(f"settings:\n  losses: {losses}\n  {other}\n", encoding="utf-8")
    settings = load_yaml(path).section("settings")
    plan = read_loss_plan(settings, CLASSES, folder)
    settings.finish()
    return plan


def test_a_loss_is_a_weight_alone_or_a_mapping_with_options(tmp_path: Path) -> None:
    plan = _read(tmp_path, "{cross_entropy: 1.0, focal: 0.5, dice: 0.5, jaccard: 2, tversky: 1}")
    usual = (CrossEntropy(1.0, 0.0, None), Focal(0.5, 2.0), Dice(0.5), Jaccard(2.0), Tversky(1.0, 0.3, 0.7))
    assert plan == LossPlan(usual, ClassBalance(0.25, 4.0))
    plan = _read(
        tmp_path,
        "{cross_entropy: {weight: 1, label_smoothing: 0.05,"
        " region: {border: {width: 3, weight: 4}, classes: {Person: 3}}},"
        " focal: {weight: 1, gamma: 1.5}, dice: {weight: 2}, tversky: {weight: 1, alpha: 0.2, beta: 0.8}}",
        "class_weights: {power: 0.5, most: 10}",
    )
    assert plan.losses == (
        CrossEntropy(1.0, 0.05, Region((1.0, 3.0, 1.0), 3, 4.0)),
        Focal(1.0, 1.5),
        Dice(2.0),
        Tversky(1.0, 0.2, 0.8),
    )
    assert plan.balance == ClassBalance(0.5, 10.0)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("{border: {width: 2, weight: 0}}", Region((1.0, 1.0, 1.0), 2, 0.0)),
        ("{classes: {Wall: 0.5, Road: 2}}", Region((2.0, 1.0, 0.5), 0, 1.0)),
    ],
)
def test_regions_are_borders_or_classes_or_both(tmp_path: Path, region: str, expected: Region) -> None:
    (loss,) = _read(tmp_path, f"{{cross_entropy: {{weight: 1, region: {region}}}}}").losses
    assert loss == CrossEntropy(1.0, 0.0, expected)


def test_the_path_of_the_cost_matrix_starts_from_the_plans_folder(tmp_path: Path) -> None:
    (loss,) = _read(tmp_path, "{cost_matrix: {weight: 0.1, matrix: costs/m.yaml}}").losses
    assert isinstance(loss, ExpectedCost) and loss.weight == 0.1
    assert loss.costs.tolist() == [[0, 19, 1], [1, 0, 1], [1, 1, 0]]


def test_the_example_in_the_docs_is_a_plan_that_uses_every_loss_for_the_shipped_classes() -> None:
    top = load_yaml(ROOT / "config" / "training" / "urban.yaml")
    example = re.findall(r"```yaml\n(settings:\n  losses:.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[0]
    settings = Section(PAGE, "settings", yaml.safe_load(example)["settings"])
    plan = read_loss_plan(settings, tuple(top.section("classes")), ROOT / "config" / "training")
    settings.finish()
    assert {type(loss) for loss in plan.losses} == {CrossEntropy, Focal, Dice, Jaccard, Tversky, ExpectedCost}


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        (
            "{dyce: 1}",
            r"'settings.losses.dyce': is not a loss \(did you mean 'dice'\?\); use one of cross_entropy, focal",
        ),
        ("{dice: much}", r"'settings.losses.dice': must be a number, not the text 'much'"),
        ("{dice: -1}", r"'settings.losses.dice': is -1, but must lie within 0 to 100"),
        ("{dice: {smooth: 1}}", r"'settings.losses.dice.weight': is missing"),
        ("{dice: {weight: 1, smooth: 1}}", r"'settings.losses.dice.smooth': is not a known key; known here: weight"),
        ("{}", r"'settings.losses': gives no loss a weight above 0"),
        ("{dice: 0, focal: 0}", r"'settings.losses': gives no loss a weight above 0"),
        ("{focal: {weight: 1, gamma: -1}}", r"'settings.losses.focal.gamma': is -1, but must lie within 0 to 10"),
        ("{focal: {weight: 1, gama: 2}}", r"focal.gama': is not a known key \(did you mean 'gamma'\?\)"),
        ("{tversky: {weight: 1, beta: 0}}", r"tversky.beta': is 0, but must lie within 0.01 to 1"),
        ("{cross_entropy: {weight: 1, label_smoothing: 1}}", r"label_smoothing': is 1, but must lie within 0 to 0.5"),
        ("{cross_entropy: {weight: 1, region: {classes: {Persn: 3}}}}", r"classes.Persn': is not .* mean 'Person'"),
        ("{cross_entropy: {weight: 1, region: {border: {width: 3}}}}", r"region.border.weight': is missing"),
        ("{cross_entropy: {weight: 1, region: {border: {width: 2.5, weight: 3}}}}", r"width': must be a whole number"),
        ("{cross_entropy: {weight: 1, region: {edges: 3}}}", r"region.edges': is not a known key; known here: border"),
        ("{cost_matrix: 1}", r"'settings.losses.cost_matrix.matrix': is missing"),
        ("{cost_matrix: {weight: 1, matrix: costs/none.yaml}}", r"none.yaml: no such file"),
        ("{cost_matrix: {weight: 1, matrix: costs/free.yaml}}", r"cost_matrix.matrix': .* in which no mistake costs"),
    ],
)
def test_a_mistake_names_file_key_and_fix(tmp_path: Path, losses: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=rf"{sentence}"):
        _read(tmp_path, losses)


@pytest.mark.parametrize(
    ("balance", "sentence"),
    [
        ("{power: 2}", r"'settings.class_weights.power': is 2, but must lie within 0 to 1"),
        ("{most: 0.5}", r"'settings.class_weights.most': is 0.5, but must lie within 1 to 1000"),
        ("{exponent: 1}", r"'settings.class_weights.exponent': is not a known key; known here: most, power"),
    ],
)
def test_a_mistake_in_the_class_weights_names_its_key(tmp_path: Path, balance: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _read(tmp_path, "{dice: 1}", f"class_weights: {balance}")


def test_class_weights_are_a_power_of_the_inverse_frequency_with_mean_one() -> None:
    counts = np.array([8100, 1600, 300], np.int64)
    for power in (0.25, 0.5, 1.0):
        weight = ClassBalance(power, 1000.0).weights(counts)
        assert (weight * counts).sum() / counts.sum() == pytest.approx(1.0)
        assert weight[0] / weight[1] == pytest.approx((1600 / 8100) ** power)
    assert ClassBalance(0.0).weights(counts).tolist() == [1, 1, 1]
    assert ClassBalance(1.0, 4.0).weights(counts).max() == 4.0


def test_labels_that_never_occur_have_a_bounded_weight() -> None:
    for counts in ([100, 0, 0], [0, 0, 0]):
        weight = ClassBalance(1.0, 4.0).weights(np.array(counts, np.int64))
        assert np.isfinite(weight).all() and weight.max() <= 4.0
