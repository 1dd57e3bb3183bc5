"""Panoptic quality against torchmetrics on random and adversarial maps, and the paper's cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.evaluation.metrics.panoptic import PanopticQuality, Segments

VOID = 255
THINGS = (False, False, True, True)  # classes 0 and 1 are stuff
CLASSES = len(THINGS)


def quality(ground_truth: Segments, predicted: Segments) -> PanopticQuality:
    return PanopticQuality.of(ground_truth, predicted, CLASSES)


def row(classes: str, instances: str | None = None) -> Segments:
    """One row of pixels: a digit per class, a dot for void; a letter per instance."""
    class_map = np.array([[VOID if c == "." else int(c) for c in classes]], np.uint8)
    instance_map = np.array([[ord(c) - ord("a") for c in instances or "a" * len(classes)]])
    return Segments.from_instances(class_map, instance_map, THINGS)


def counts(result: PanopticQuality, number: int) -> tuple[int, int, int]:
    return int(result.matched[number]), int(result.false_positives[number]), int(result.false_negatives[number])


def torchmetrics_counts(ground_truth: Segments, predicted: Segments) -> tuple[np.ndarray, ...]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    metrics = pytest.importorskip("torchmetrics.detection", reason="torchmetrics is not installed")
    metric = metrics.PanopticQuality(things={2, 3}, stuffs={0, 1}, allow_unknown_preds_category=True)
    metric.update(
        *(
            torch.from_numpy(np.stack([segments.classes, segments.instances], axis=-1).astype(np.int64))[None]
            for segments in (predicted, ground_truth)
        )
    )
    values = (metric.iou_sum, metric.true_positives, metric.false_positives, metric.false_negatives)
    return tuple(np.roll(np.asarray(value), 2) for value in values)  # things come first there


def assert_agrees(ground_truth: Segments, predicted: Segments) -> None:
    ours = quality(ground_truth, predicted)
    iou, matched, false_positives, false_negatives = torchmetrics_counts(ground_truth, predicted)
    np.testing.assert_allclose(ours.iou, iou, atol=1e-6)
    assert ours.matched.tolist() == matched.tolist()
    assert ours.false_positives.tolist() == false_positives.tolist()
    assert ours.false_negatives.tolist() == false_negatives.tolist()


def blobs(rng: np.random.Generator, block: int) -> Segments:
    """Blocks of random class, neighbours joined or separate at random."""
    coarse = rng.integers(0, CLASSES, (16 // block, 16 // block))
    instances = rng.integers(0, 4, coarse.shape)
    grow = np.ones((block, block), int)
    return Segments.from_instances(np.kron(coarse, grow).astype(np.uint8), np.kron(instances, grow), THINGS)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4, 8]), st.floats(0.0, 0.6), st.floats(0.0, 0.5))
def test_quality_agrees_with_torchmetrics(seed: int, block: int, wrong: float, void: float) -> None:
    rng = np.random.default_rng(seed)
    ground_truth = blobs(rng, block)
    other, change = blobs(rng, 4), rng.random(ground_truth.classes.shape) < wrong
    predicted = Segments(
        np.where(change, other.classes, ground_truth.classes), np.where(change, other.instances, ground_truth.instances)
    )
    hidden = Segments(
        np.where(rng.random(ground_truth.classes.shape) < void, VOID, ground_truth.classes), ground_truth.instances
    )
    assert_agrees(hidden, predicted)
    assert_agrees(Segments(np.where(other.classes == 2, VOID, ground_truth.classes), ground_truth.instances), predicted)


@pytest.mark.parametrize(
    ("ground_truth", "predicted"),
    [
        (row("0022233311", "aabbbccaaa"), row("0022233311", "aabbbccaaa")),  # identical
        (row("2222222222", "aaaaaabbbb"), row("2222222222", "aaaaaaaaaa")),  # merged
        (row("2222222222", "aaaaaaaaaa"), row("2222222222", "aaaaaaabbb")),  # split
        (row("0000000002"), row("0000000000")),  # one pixel, false negative
        (row("0000000000"), row("0000000002")),  # one pixel, false positive
        (row("0000000002"), row("0000000003")),  # one pixel, of another class
        (row("2222222222", "abcdefghij"), row("0000000000")),  # a class that is never predicted
        (row(".........."), row("0123012301")),  # nothing is labelled
        (row("22......00"), row("2222222200")),  # mostly void: neither match nor false positive
        (row("00......00"), row("0022222200")),  # wholly void
        (row("00...00000"), row("0022222200")),  # exactly half void: still a false positive
        (row("2222.22222"), row("2222222222", "aaaaabbbbb")),  # split at void
    ],
)
def test_adversarial_maps_agree_with_torchmetrics(ground_truth: Segments, predicted: Segments) -> None:
    assert_agrees(ground_truth, predicted)


def test_two_merged_things_match_once_if_one_of_them_is_most_of_the_segment() -> None:
    mostly_one = quality(row("2222222222", "aaaaaaabbb"), row("2222222222"))
    assert counts(mostly_one, 2) == (1, 0, 1)
    assert mostly_one.segmentation()[2] == pytest.approx(0.7)
    assert mostly_one.recognition()[2] == pytest.approx(1 / 1.5)
    assert mostly_one.panoptic()[2] == pytest.approx(0.7 / 1.5)
    # Two equal halves: IoU is 0.5 with each, and a match needs more.
    halves = quality(row("2222222222", "aaaaabbbbb"), row("2222222222"))
    assert counts(halves, 2) == (0, 1, 2)
    assert halves.panoptic()[2] == 0.0


def test_a_split_thing_matches_once_if_one_part_is_most_of_it() -> None:
    mostly_one = quality(row("2222222222"), row("2222222222", "aaaaaaabbb"))
    assert counts(mostly_one, 2) == (1, 1, 0)
    assert mostly_one.panoptic()[2] == pytest.approx(0.7 / 1.5)
    assert counts(quality(row("2222222222"), row("2222222222", "aaaaabbbbb")), 2) == (0, 2, 1)


def test_void_pixels_are_removed_from_the_prediction_before_matching() -> None:
    # 4 right and 6 in void: an IoU of 4/10 without the rule, of 1 with it.
    result = quality(row("2222......"), row("2222222222"))
    assert counts(result, 2) == (1, 0, 0)
    assert result.segmentation()[2] == 1.0


def test_an_unmatched_segment_is_ignored_only_if_more_than_half_of_it_is_void() -> None:
    assert counts(quality(row("0000....00"), row("0022222200")), 2) == (0, 0, 0)
    assert counts(quality(row("0000...000"), row("0022222200")), 2) == (0, 1, 0)


def test_void_pixels_of_the_prediction_count_as_not_predicted() -> None:
    # 4 of 10 predicted pixels are no match.
    assert counts(quality(row("2222222222"), row("2222......")), 2) == (0, 1, 1)


def test_stuff_is_one_segment_per_class_whatever_its_instance_numbers() -> None:
    assert counts(quality(row("0011100000", "aabbbccddd"), row("0011100000")), 0) == (1, 0, 0)


def test_a_class_without_segments_is_undefined_and_one_without_a_match_scores_zero() -> None:
    result = quality(row("0000022222"), row("0000033333"))
    assert np.isnan(result.panoptic()[1])
    assert result.panoptic()[[0, 2, 3]].tolist() == [1.0, 0.0, 0.0]
    assert result.segmentation()[2] == 0.0


def test_images_are_matched_separately_and_added_up() -> None:
    found, missed = row("2222200000"), row("0000000000")
    assert counts(quality(found, found) + quality(found, missed), 2) == (1, 0, 1)


def test_without_instance_labels_a_thing_is_an_8_connected_component() -> None:
    labels = np.array([[2, 0, 2, 0], [0, 2, 0, 0], [0, 0, 0, 3], [1, 0, 0, 3]], np.uint8)
    segments = Segments.from_components(labels, THINGS)
    things = {tuple(map(int, pair)) for pair in zip(segments.classes.ravel(), segments.instances.ravel(), strict=True)}
    assert len({pair for pair in things if pair[0] == 2}) == 1, "three pixels that touch at corners"
    assert {pair for pair in things if pair[0] < 2} == {(0, 0), (1, 0)}, "stuff is one segment, scattered or not"
    apart = Segments.from_components(np.array([[2, 0, 2, 3]], np.uint8), THINGS)
    assert len(set(zip(apart.classes.ravel().tolist(), apart.instances.ravel().tolist(), strict=True))) == 4
