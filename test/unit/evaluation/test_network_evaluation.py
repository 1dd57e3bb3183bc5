"""All judges over labelled images: what a perfect, a blind and a hesitant network get, and what the summary says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from seg_perception.datasets.dataset import LabelSpace
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.boundary import Tolerance
from seg_perception.evaluation.network.evaluate import Evaluation, LabelledImage, Prediction, Rules, evaluate
from seg_perception.evaluation.network.labels import IGNORE, JudgedLabels
from seg_perception.evaluation.network.summary import summarise, table

# Labels Road, Car and "Tree or Grass"; classes 2 and 3 are Tree and Grass.
SPACE = LabelSpace(("Road", "Car", "Tree", "Grass"), ((2, 3),))
LABELS = JudgedLabels.of([np.array([[0, 1, 4]], np.uint8)], SPACE)
COSTS = np.array([[0, 9, 3, 3], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], np.float32)
RULES = Rules(LABELS, COSTS, (False, True, False), Tolerance(1.0, "px"))


def truth_image(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 3, (6, 8)), np.ones((4, 4), int)).astype(np.uint8)


def images(*truths: np.ndarray) -> list[LabelledImage]:
    # A network finds its answer by the image, so each image holds its own number.
    return [
        LabelledImage(f"{number}.png", np.full((*truth.shape, 3), number, np.uint8), truth)
        for number, truth in enumerate(truths)
    ]


def says(*answers: np.ndarray, certainty: float = 50.0, decisions: list[np.ndarray] | None = None):
    """A network that gives class `answers[number]` to the image of that number."""

    def network(image: np.ndarray) -> Prediction:
        number = int(image[0, 0, 0])
        answer = answers[number]
        logits = certainty * (np.arange(4)[:, None, None] == answer).astype(np.float32)
        return Prediction(logits, decisions[number] if decisions else answer.astype(np.uint8))

    return network


def judged(network, pictures: list[LabelledImage], rules: Rules = RULES, keep: int = 8) -> tuple[Evaluation, dict]:
    evaluation = evaluate(network, pictures, rules, keep)
    summary = summarise(evaluation, rules)
    json.dumps(summary, allow_nan=False)
    return evaluation, summary


def test_a_perfect_network_gets_full_marks_and_pays_nothing() -> None:
    truth = truth_image()
    truth[:2] = IGNORE
    _, summary = judged(says(np.where(truth == IGNORE, 0, truth)), images(truth))
    assert summary["mean_iou"] == summary["pixel_accuracy"] == 1.0
    assert summary["boundary_f"]["mean"] == summary["panoptic"]["rq"] == summary["panoptic"]["sq"] == 1.0
    assert summary["calibration"]["ece"] == pytest.approx(0.0, abs=1e-6)
    assert summary["risk"] == pytest.approx({"most_probable": 0.0, "bayes": 0.0, "expected": 0.0}, abs=1e-6)
    assert summary["pixels"] == 22 * 32
    assert sum(map(sum, summary["confusion"])) == 22 * 32


def test_either_class_of_a_choice_is_right() -> None:
    truth = truth_image()
    for vegetation in (2, 3):
        _, summary = judged(says(np.where(truth == 2, vegetation, truth)), images(truth))
        assert summary["labels"]["Tree|Grass"]["iou"] == 1.0
        assert summary["labels"]["Tree|Grass"]["cost_most_probable"] == pytest.approx(0.0, abs=1e-6)


def test_a_blind_network_is_told_by_every_figure() -> None:
    truth = truth_image()
    road = np.zeros_like(truth)
    _, summary = judged(says(road), images(truth))
    share = float((truth == 0).mean())
    assert summary["pixel_accuracy"] == pytest.approx(share)
    assert summary["labels"]["Road"]["iou"] == pytest.approx(share)
    assert summary["labels"]["Car"]["iou"] == summary["labels"]["Car"]["pq"] == summary["labels"]["Car"]["rq"] == 0.0
    assert summary["labels"]["Car"]["missed"] > 1 == summary["labels"]["Tree|Grass"]["missed"]
    assert summary["boundary_f"]["mean"] == 0.0
    assert summary["calibration"]["ece"] == pytest.approx(1 - share, abs=1e-3), "sure of itself, and wrong"
    assert summary["labels"]["Car"]["cost_bayes"] == pytest.approx(9.0)
    assert summary["risk"]["bayes"] == pytest.approx(float(COSTS[0][np.array([0, 1, 2])][truth].mean()))
    assert summary["risk"]["expected"] == pytest.approx(0.0, abs=1e-6)


def test_the_bayes_decision_is_judged_by_its_own_cost_and_moves_no_other_figure() -> None:
    truth = truth_image()
    road = np.zeros_like(truth)
    _, naive = judged(says(road), images(truth))
    _, careful = judged(says(road, decisions=[truth]), images(truth))
    # Nobody said whether it is tree or grass, and the network thinks both equally likely: half of the pixels decided
    # as tree are to be paid for.
    assert careful["risk"]["bayes"] == pytest.approx(0.5 * (truth == 2).mean())
    assert careful["risk"]["most_probable"] == naive["risk"]["most_probable"] == naive["risk"]["bayes"] > 1.0
    assert (careful["mean_iou"], careful["confusion"]) == (naive["mean_iou"], naive["confusion"])


def test_figures_are_those_of_all_pixels_together_and_not_means_over_images() -> None:
    good, bad = truth_image(1), truth_image(2)
    bad[:, 4:] = IGNORE  # few labelled pixels: a mean over images would count them as much as the many
    answers = [good, np.full_like(bad, 3)]
    _, summary = judged(says(*answers), images(good, bad))
    truth, answer = (np.concatenate(parts) for parts in ((good, bad), np.minimum(answers, 2)))
    known = truth != IGNORE
    assert summary["pixel_accuracy"] == pytest.approx((truth == answer)[known].mean())
    car = (truth == 1) & known, (answer == 1) & known
    assert summary["labels"]["Car"]["iou"] == pytest.approx((car[0] & car[1]).sum() / (car[0] | car[1]).sum())


def test_the_worst_images_come_first_and_those_without_labels_not_at_all() -> None:
    truth = truth_image()
    half = np.where(np.arange(truth.shape[1]) < 16, truth, 0)
    unlabelled = np.full_like(truth, IGNORE)
    pictures = images(truth, truth, unlabelled, truth)
    answers = says(truth, np.zeros_like(truth), truth, half)
    evaluation, summary = judged(answers, pictures, keep=2)
    assert [score["name"] for score in summary["scores"]] == ["1.png", "3.png", "0.png"]
    assert [picture.score.name for picture in evaluation.worst] == ["1.png", "3.png"]
    assert (evaluation.worst[0].label == 0).all() and (evaluation.worst[0].image == 1).all()
    assert summary["images"] == 3


def test_a_few_pixels_of_a_wrong_class_do_not_make_an_image_the_worst() -> None:
    truth = np.zeros((24, 32), np.uint8)
    speck = truth.copy()
    speck[:4, :4] = 1
    evaluation, _ = judged(says(speck), images(truth))
    assert evaluation.scores[0].iou == pytest.approx(1 - 16 / (24 * 32))


def test_without_a_labelled_pixel_nothing_is_claimed() -> None:
    with pytest.raises(ConfigError, match="no pixel of the images to judge by is labelled"):
        evaluate(says(truth_image()), images(np.full((24, 32), IGNORE, np.uint8)), RULES)


def test_what_is_not_defined_is_null_and_a_dash() -> None:
    truth = np.zeros((24, 32), np.uint8)
    _, summary = judged(says(truth), images(truth), replace(RULES, things=(False, False, False)))
    assert summary["labels"]["Car"]["iou"] is None and summary["labels"]["Car"]["pq"] is None
    assert summary["boundary_f"]["mean"] is None, "an image of one class has no boundary"
    assert summary["panoptic"]["pq_things"] is None and summary["panoptic"]["pq_stuff"] == 1.0
    car = next(line for line in table(summary).splitlines() if line.startswith("Car"))
    assert car.split()[1:] == ["–"] * 7


def test_the_table_shows_every_label_and_the_totals() -> None:
    truth = truth_image()
    _, summary = judged(says(np.where(truth == 1, 0, truth)), images(truth))
    lines = {line.split("  ")[0]: line.split()[1:] for line in table(summary).splitlines() if line}
    assert lines["Car"][:2] == ["0.000", "0.000"] and lines["Car"][-2:] == ["9.000", "9.000"]
    assert lines["mean"][0] == f"{summary['mean_iou']:.3f}"
    assert f"{summary['risk']['bayes']:.3f}" == lines["all pixels"][-1]
    text = table(summary)
    assert f"ECE {summary['calibration']['ece']:.4f}" in text
    assert "boundary F at 1 px; things: Car" in text


def test_the_bins_of_the_reliability_diagram_give_its_error() -> None:
    truth = truth_image()
    _, summary = judged(says(np.where(truth == 1, 0, truth), certainty=1.5), images(truth))
    bins = summary["calibration"]["bins"]
    assert sum(b["pixels"] for b in bins) == truth.size
    gaps = [b["pixels"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["pixels"]]
    assert sum(gaps) / truth.size == pytest.approx(summary["calibration"]["ece"])
    assert all(b["from"] <= b["confidence"] <= b["to"] for b in bins if b["pixels"])
    assert [b["accuracy"] for b in bins if not b["pixels"]] == [None] * sum(not b["pixels"] for b in bins)
