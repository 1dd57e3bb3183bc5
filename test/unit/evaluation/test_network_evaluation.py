"""All network metrics over labelled images: of a perfect, a blind and an unsure network; and the summary."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from seg_perception.datasets.dataset import IGNORE, LabelSpace
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.boundary import Tolerance
from seg_perception.evaluation.metrics.labels import EvaluationLabels
from seg_perception.evaluation.network.metrics import (
    EvaluationResult,
    LabelledImage,
    NetworkEvaluationConfig,
    Prediction,
    evaluate,
)
from seg_perception.evaluation.network.summary import evaluation_table, summarise_evaluation

# Labels Road, Car and "Tree or Grass"; classes 2 and 3 are Tree and Grass.
SPACE = LabelSpace(("Road", "Car", "Tree", "Grass"), ((2, 3),))
LABELS = EvaluationLabels.of([np.array([[0, 1, 4]], np.uint8)], SPACE)
COSTS = np.array([[0, 9, 3, 3], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], np.float32)
RULES = NetworkEvaluationConfig(LABELS, COSTS, (False, True, False), Tolerance(1.0, "px"))


def random_ground_truth(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 3, (6, 8)), np.ones((4, 4), int)).astype(np.uint8)


def images(*ground_truths: np.ndarray) -> list[LabelledImage]:
    # A network selects its prediction by the image, so each image holds its own number.
    return [
        LabelledImage(f"{number}.png", np.full((*ground_truth.shape, 3), number, np.uint8), ground_truth)
        for number, ground_truth in enumerate(ground_truths)
    ]


def predicting(*predictions: np.ndarray, certainty: float = 50.0, decisions: list[np.ndarray] | None = None):
    """A network that predicts class `predictions[number]` for the image of that number."""

    def network(image: np.ndarray) -> Prediction:
        number = int(image[0, 0, 0])
        predicted = predictions[number]
        logits = certainty * (np.arange(4)[:, None, None] == predicted).astype(np.float32)
        return Prediction(logits, decisions[number] if decisions else predicted.astype(np.uint8))

    return network


def evaluated(
    network, labelled_images: list[LabelledImage], config: NetworkEvaluationConfig = RULES, keep: int = 8
) -> tuple[EvaluationResult, dict]:
    evaluation = evaluate(network, labelled_images, config, keep)
    summary = summarise_evaluation(evaluation, config)
    json.dumps(summary, allow_nan=False)
    return evaluation, summary


def test_a_perfect_network_has_perfect_metrics_and_no_cost() -> None:
    ground_truth = random_ground_truth()
    ground_truth[:2] = IGNORE
    _, summary = evaluated(predicting(np.where(ground_truth == IGNORE, 0, ground_truth)), images(ground_truth))
    assert summary["mean_iou"] == summary["pixel_accuracy"] == 1.0
    assert summary["boundary_f"]["mean"] == summary["panoptic"]["rq"] == summary["panoptic"]["sq"] == 1.0
    assert summary["calibration"]["ece"] == pytest.approx(0.0, abs=1e-6)
    assert summary["risk"] == pytest.approx({"most_probable": 0.0, "bayes": 0.0, "expected": 0.0}, abs=1e-6)
    assert summary["pixels"] == 22 * 32
    assert sum(map(sum, summary["confusion"])) == 22 * 32


def test_each_class_of_a_group_is_right() -> None:
    ground_truth = random_ground_truth()
    for vegetation in (2, 3):
        _, summary = evaluated(predicting(np.where(ground_truth == 2, vegetation, ground_truth)), images(ground_truth))
        assert summary["labels"]["Tree|Grass"]["iou"] == 1.0
        assert summary["labels"]["Tree|Grass"]["cost_most_probable"] == pytest.approx(0.0, abs=1e-6)


def test_a_blind_network_shows_in_every_metric() -> None:
    ground_truth = random_ground_truth()
    road = np.zeros_like(ground_truth)
    _, summary = evaluated(predicting(road), images(ground_truth))
    share = float((ground_truth == 0).mean())
    assert summary["pixel_accuracy"] == pytest.approx(share)
    assert summary["labels"]["Road"]["iou"] == pytest.approx(share)
    assert summary["labels"]["Car"]["iou"] == summary["labels"]["Car"]["pq"] == summary["labels"]["Car"]["rq"] == 0.0
    assert summary["labels"]["Car"]["missed"] > 1 == summary["labels"]["Tree|Grass"]["missed"]
    assert summary["boundary_f"]["mean"] == 0.0
    assert summary["calibration"]["ece"] == pytest.approx(1 - share, abs=1e-3), "overconfident"
    assert summary["labels"]["Car"]["cost_bayes"] == pytest.approx(9.0)
    assert summary["risk"]["bayes"] == pytest.approx(float(COSTS[0][np.array([0, 1, 2])][ground_truth].mean()))
    assert summary["risk"]["expected"] == pytest.approx(0.0, abs=1e-6)


def test_the_bayes_decision_changes_its_realized_cost_and_no_other_metric() -> None:
    ground_truth = random_ground_truth()
    road = np.zeros_like(ground_truth)
    _, naive = evaluated(predicting(road), images(ground_truth))
    _, careful = evaluated(predicting(road, decisions=[ground_truth]), images(ground_truth))
    # The label leaves tree or grass open, and the network gives both the same probability: half of the pixels that are
    # decided as tree cost 1.
    assert careful["risk"]["bayes"] == pytest.approx(0.5 * (ground_truth == 2).mean())
    assert careful["risk"]["most_probable"] == naive["risk"]["most_probable"] == naive["risk"]["bayes"] > 1.0
    assert (careful["mean_iou"], careful["confusion"]) == (naive["mean_iou"], naive["confusion"])


def test_metrics_are_over_all_pixels_together_and_not_means_over_images() -> None:
    good, bad = random_ground_truth(1), random_ground_truth(2)
    bad[:, 4:] = IGNORE  # few labelled pixels: a mean over images would count them as much as the many
    predictions = [good, np.full_like(bad, 3)]
    _, summary = evaluated(predicting(*predictions), images(good, bad))
    ground_truth, predicted = (np.concatenate(parts) for parts in ((good, bad), np.minimum(predictions, 2)))
    known = ground_truth != IGNORE
    assert summary["pixel_accuracy"] == pytest.approx((ground_truth == predicted)[known].mean())
    car = (ground_truth == 1) & known, (predicted == 1) & known
    assert summary["labels"]["Car"]["iou"] == pytest.approx((car[0] & car[1]).sum() / (car[0] | car[1]).sum())


def test_images_are_sorted_by_iou_and_unlabelled_ones_are_left_out() -> None:
    ground_truth = random_ground_truth()
    half = np.where(np.arange(ground_truth.shape[1]) < 16, ground_truth, 0)
    unlabelled = np.full_like(ground_truth, IGNORE)
    labelled_images = images(ground_truth, ground_truth, unlabelled, ground_truth)
    predictions = predicting(ground_truth, np.zeros_like(ground_truth), ground_truth, half)
    evaluation, summary = evaluated(predictions, labelled_images, keep=2)
    assert [score["name"] for score in summary["scores"]] == ["1.png", "3.png", "0.png"]
    assert [each.score.name for each in evaluation.worst] == ["1.png", "3.png"]
    assert (evaluation.worst[0].label == 0).all() and (evaluation.worst[0].image == 1).all()
    assert summary["images"] == 3


def test_a_few_pixels_of_a_wrong_class_hardly_lower_the_score_of_an_image() -> None:
    ground_truth = np.zeros((24, 32), np.uint8)
    speck = ground_truth.copy()
    speck[:4, :4] = 1
    evaluation, _ = evaluated(predicting(speck), images(ground_truth))
    assert evaluation.scores[0].iou == pytest.approx(1 - 16 / (24 * 32))


def test_images_without_a_labelled_pixel_are_refused() -> None:
    with pytest.raises(ConfigError, match="no pixel of the evaluation images is labelled"):
        evaluate(predicting(random_ground_truth()), images(np.full((24, 32), IGNORE, np.uint8)), RULES)


def test_undefined_values_are_null_and_a_dash() -> None:
    ground_truth = np.zeros((24, 32), np.uint8)
    _, summary = evaluated(predicting(ground_truth), images(ground_truth), replace(RULES, things=(False, False, False)))
    assert summary["labels"]["Car"]["iou"] is None and summary["labels"]["Car"]["pq"] is None
    assert summary["boundary_f"]["mean"] is None, "an image of one class has no boundary"
    assert summary["panoptic"]["pq_things"] is None and summary["panoptic"]["pq_stuff"] == 1.0
    car = next(line for line in evaluation_table(summary).splitlines() if line.startswith("Car"))
    assert car.split()[1:] == ["–"] * 7


def test_the_table_shows_every_label_and_the_totals() -> None:
    ground_truth = random_ground_truth()
    _, summary = evaluated(predicting(np.where(ground_truth == 1, 0, ground_truth)), images(ground_truth))
    lines = {line.split("  ")[0]: line.split()[1:] for line in evaluation_table(summary).splitlines() if line}
    assert lines["Car"][:2] == ["0.000", "0.000"] and lines["Car"][-2:] == ["9.000", "9.000"]
    assert lines["mean"][0] == f"{summary['mean_iou']:.3f}"
    assert f"{summary['risk']['bayes']:.3f}" == lines["all pixels"][-1]
    text = evaluation_table(summary)
    assert f"ECE {summary['calibration']['ece']:.4f}" in text
    assert "boundary F at 1 px; things: Car" in text


def test_the_bins_of_the_reliability_diagram_give_the_calibration_error() -> None:
    ground_truth = random_ground_truth()
    _, summary = evaluated(
        predicting(np.where(ground_truth == 1, 0, ground_truth), certainty=1.5), images(ground_truth)
    )
    bins = summary["calibration"]["bins"]
    assert sum(b["pixels"] for b in bins) == ground_truth.size
    gaps = [b["pixels"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["pixels"]]
    assert sum(gaps) / ground_truth.size == pytest.approx(summary["calibration"]["ece"])
    assert all(b["from"] <= b["confidence"] <= b["to"] for b in bins if b["pixels"])
    assert [b["accuracy"] for b in bins if not b["pixels"]] == [None] * sum(not b["pixels"] for b in bins)
