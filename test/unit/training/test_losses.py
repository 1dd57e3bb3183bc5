"""Losses: closed forms, references, gradients, and labels that leave a choice."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from seg_perception.datasets.dataset import IGNORE, LabelSpace  # noqa: E402
from seg_perception.training.loss_plan import (  # noqa: E402
    ClassBalance,
    CrossEntropy,
    Dice,
    ExpectedCost,
    Focal,
    Jaccard,
    Loss,
    LossPlan,
    Region,
    Tversky,
)
from seg_perception.training.losses.combined import TrainingLoss  # noqa: E402
from seg_perception.training.losses.expected_cost import expected_cost  # noqa: E402
from seg_perception.training.losses.labels import label_log_probabilities, membership  # noqa: E402
from seg_perception.training.losses.overlap import dice, jaccard, tversky  # noqa: E402
from seg_perception.training.losses.pointwise import cross_entropy, focal, smoothed_labels  # noqa: E402
from seg_perception.training.losses.region import border_band, region_weights  # noqa: E402

K = 4
GROUPS = ((1, 2), (1, 2, 3))  # labels 4 and 5
COSTS = np.array([[0, 19, 4, 1], [1, 0, 1, 2], [1, 3, 0, 1], [5, 1, 1, 0]], np.float32)
ALL: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(1.0, 0.0, None),
    "smoothed cross-entropy": CrossEntropy(1.0, 0.2, None),
    "cross-entropy by region": CrossEntropy(1.0, 0.1, Region((1.0, 3.0, 1.0, 0.5), 1, 4.0)),
    "focal": Focal(1.0, 2.0),
    "focal, gamma below 1": Focal(1.0, 0.5),
    "dice": Dice(1.0),
    "jaccard": Jaccard(1.0),
    "tversky": Tversky(1.0, 0.3, 0.7),
    "expected cost": ExpectedCost(1.0, COSTS),
}
# Nothing is perfect where labels are smoothed.
SHARP = {name: loss for name, loss in ALL.items() if not getattr(loss, "label_smoothing", 0.0)}
EVERY_LOSS = pytest.mark.parametrize("loss", ALL.values(), ids=ALL.keys())
EVERY_SHARP_LOSS = pytest.mark.parametrize("loss", SHARP.values(), ids=SHARP.keys())


def _training_loss(*losses: Loss, groups: tuple[tuple[int, ...], ...] = GROUPS, power: float = 0.25) -> TrainingLoss:
    space = LabelSpace(tuple(f"class{index}" for index in range(K)), groups)
    counts = np.arange(1, K + len(groups) + 1) ** 3
    return TrainingLoss(LossPlan(losses, ClassBalance(power, 4.0)), space, counts, torch.device("cpu"))


def _case(seed: int = 0, labels: int = K + len(GROUPS), dtype: torch.dtype = torch.float32) -> tuple:
    """Random logits [2, K, 5, 6] and a target with every label and some unlabelled pixels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, K, 5, 6, generator=generator, dtype=dtype)
    target = torch.randint(0, labels, (2, 5, 6), generator=generator)
    target[:, 0, ::2] = IGNORE
    return logits, target


def _pixel(*probabilities: float) -> torch.Tensor:
    """Logits of one pixel with these probabilities."""
    return torch.tensor(probabilities, dtype=torch.float64).log().view(1, -1, 1, 1)


def _sure(target: torch.Tensor, classes: int = K) -> torch.Tensor:
    """Logits that are certain of this target."""
    return 60.0 * torch.nn.functional.one_hot(target, classes).movedim(-1, 1).double()


# What holds for every loss


@EVERY_LOSS
def test_gradients_agree_with_finite_differences(loss: Loss) -> None:
    # For group labels the expected cost has no gradient through the distribution of the true class.
    groups = () if isinstance(loss, ExpectedCost) else GROUPS
    _, target = _case(labels=K + len(groups))
    logits = torch.randn(2, K, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    criterion = _training_loss(loss, groups=groups)
    assert torch.autograd.gradcheck(lambda values: criterion(values, target), (logits.requires_grad_(),))


@EVERY_LOSS
def test_pixels_without_label_change_nothing_and_get_no_gradient(loss: Loss) -> None:
    logits, target = _case()
    noisy = torch.where((target == IGNORE).unsqueeze(1), 50 * torch.randn(logits.shape), logits).requires_grad_()
    criterion = _training_loss(loss)
    value = criterion(noisy, target)
    assert float(value.detach()) == pytest.approx(float(criterion(logits, target)), rel=1e-5)
    value.backward()
    ignored = (target == IGNORE).unsqueeze(1).expand_as(logits)
    assert noisy.grad[ignored].eq(0).all() and noisy.grad[~ignored].ne(0).any()


@EVERY_LOSS
def test_a_batch_without_any_label_gives_zero_and_no_nan(loss: Loss) -> None:
    logits = torch.randn(1, K, 4, 4, requires_grad=True)
    value = _training_loss(loss)(logits, torch.full((1, 8, 8), IGNORE))
    value.backward()
    assert float(value.detach()) == 0.0
    assert logits.grad.eq(0).all()


@EVERY_LOSS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_do_not_overflow(loss: Loss, dtype: torch.dtype) -> None:
    _, target = _case()
    logits = (60000 * torch.randn(2, K, 5, 6, generator=torch.Generator().manual_seed(2)).sign()).to(dtype)
    value = _training_loss(loss)(logits.requires_grad_(), target)
    value.backward()
    assert value.dtype == torch.float32 and torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@EVERY_LOSS
def test_autocast_of_the_caller_changes_nothing(loss: Loss) -> None:
    logits, target = _case()
    criterion = _training_loss(loss)
    with torch.autocast("cpu", torch.bfloat16):
        inside = criterion(logits, target)
    assert float(inside) == float(criterion(logits, target))


@EVERY_SHARP_LOSS
def test_a_perfect_answer_costs_nothing(loss: Loss) -> None:
    ground_truth = torch.randint(0, K, (1, 6, 6), generator=torch.Generator().manual_seed(3))
    assert float(_training_loss(loss)(_sure(ground_truth), ground_truth)) == pytest.approx(0.0, abs=1e-6)


@EVERY_SHARP_LOSS
def test_each_member_of_a_group_costs_nothing(loss: Loss) -> None:
    free = ExpectedCost(1.0, np.where(np.isin(range(K), (1, 2))[:, None] & np.isin(range(K), (1, 2)), 0, COSTS))
    answer = torch.tensor([[[0, 1, 2, 2]]])
    label = torch.tensor([[[0, 4, 4, 4]]])
    criterion = _training_loss(free if isinstance(loss, ExpectedCost) else loss)
    assert float(criterion(_sure(answer), label)) == pytest.approx(0.0, abs=1e-6)


def test_the_sum_takes_each_loss_times_its_weight_at_the_size_of_the_labels() -> None:
    logits, target = _case()
    small = logits[:, :, :3, :3]
    full = torch.nn.functional.interpolate(small, size=(5, 6), mode="bilinear", align_corners=False)
    both = _training_loss(CrossEntropy(2.0, 0.0, None), Dice(0.5))(small, target)
    apart = [float(_training_loss(loss)(full, target)) for loss in (CrossEntropy(1.0, 0.0, None), Dice(1.0))]
    assert float(both) == pytest.approx(2 * apart[0] + 0.5 * apart[1], rel=1e-5)


# One pixel, or an image of one class, by hand


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5)])
def test_one_pixel_and_an_all_background_image_cost_what_the_formulas_say(height: int, width: int) -> None:
    p = 0.6
    log_q = label_log_probabilities(_pixel(p, 0.3, 0.1).expand(1, 3, height, width), ())
    target, members, ones = torch.zeros(1, height, width, dtype=torch.int64), membership(3, ()), torch.ones(3)
    costs = torch.tensor([[0.0, 2.0, 10.0], [1.0, 0.0, 5.0], [3.0, 3.0, 0.0]])
    assert float(cross_entropy(log_q, target, ones)) == pytest.approx(-math.log(p))
    assert float(focal(log_q, target, ones, 2.0)) == pytest.approx((1 - p) ** 2 * -math.log(p))
    assert float(dice(log_q, target, members)) == pytest.approx((1 - p) / (1 + p))
    assert float(jaccard(log_q, target, members)) == pytest.approx(1 - p)
    assert float(tversky(log_q, target, members, 0.3, 0.7)) == pytest.approx(1 - p / (p + 0.7 * (1 - p)))
    assert float(expected_cost(log_q, target, members, costs)) == pytest.approx((0.3 * 1 + 0.1 * 3) / 4)


@pytest.mark.parametrize("loss", [dice, jaccard, lambda *case: tversky(*case, 0.3, 0.7)])
def test_an_overlap_loss_is_one_when_nothing_overlaps(loss) -> None:
    ground_truth = torch.tensor([[[0, 0, 1, 1]]])
    log_q = label_log_probabilities(_sure(1 - ground_truth, 2), ())
    assert float(loss(log_q, ground_truth, membership(2, ()))) == pytest.approx(1.0)


def test_equal_probabilities_cost_the_log_of_the_number_of_classes() -> None:
    log_q = label_log_probabilities(torch.zeros(1, 5, 2, 2), ())
    assert float(cross_entropy(log_q, torch.full((1, 2, 2), 3), torch.ones(5))) == pytest.approx(math.log(5))


def test_a_choice_of_classes_costs_the_log_of_their_summed_probability() -> None:
    log_q = label_log_probabilities(_pixel(0.5, 0.3, 0.2), ((1, 2), (0, 1, 2)))
    half, all_of_them = (cross_entropy(log_q, torch.full((1, 1, 1), label), torch.ones(5)) for label in (3, 4))
    assert float(half) == pytest.approx(math.log(2))
    assert float(all_of_them) == pytest.approx(0.0, abs=1e-9)


# Against torch, or a second implementation pixel by pixel


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_agrees_with_torch_where_labels_leave_no_choice(smoothing: float) -> None:
    logits, target = _case(labels=K)
    weight = torch.tensor([0.5, 1.0, 3.0, 2.0])
    mine = cross_entropy(
        label_log_probabilities(logits, ()), target, weight, None, smoothed_labels(membership(K, ()), smoothing)
    )
    theirs = torch.nn.functional.cross_entropy(logits, target, weight, ignore_index=IGNORE, label_smoothing=smoothing)
    assert float(mine) == pytest.approx(float(theirs), rel=1e-5)


def test_without_smoothing_the_smoothed_labels_are_the_labels() -> None:
    logits, target = _case()
    log_q, weight = label_log_probabilities(logits, GROUPS), torch.arange(1.0, K + 3)
    smoothed = smoothed_labels(membership(K, GROUPS), 0.0)
    assert float(cross_entropy(log_q, target, weight, None, smoothed)) == pytest.approx(
        float(cross_entropy(log_q, target, weight)), rel=1e-6
    )


def _pixels(logits: torch.Tensor, target: torch.Tensor) -> list[tuple[np.ndarray, set[int]]]:
    """(probabilities [K], classes that the label allows) of each labelled pixel."""
    p = torch.softmax(logits.double(), dim=1).movedim(1, -1).reshape(-1, K).numpy()
    allowed = [{label} for label in range(K)] + [set(group) for group in GROUPS]
    return [(p[i], allowed[y]) for i, y in enumerate(target.ravel().tolist()) if y != IGNORE]


def test_focal_is_the_published_formula_pixel_by_pixel() -> None:
    logits, target = _case()
    q = [sum(p[c] for c in allowed) for p, allowed in _pixels(logits, target)]
    expected = np.mean([(1 - x) ** 1.5 * -math.log(x) for x in q])
    mine = focal(label_log_probabilities(logits, GROUPS), target, torch.ones(K + 2), 1.5)
    assert float(mine) == pytest.approx(expected, rel=1e-5)


def test_tversky_is_the_published_index_region_by_region() -> None:
    logits, target = _case()
    pixels = _pixels(logits, target)
    losses = []
    for region in [{0}, {1}, {2}, {3}, {1, 2}, {1, 2, 3}]:
        hit = false_alarm = miss = 0.0
        for p, allowed in pixels:
            q = sum(p[c] for c in region)
            if allowed <= region:
                hit, miss = hit + q, miss + 1 - q
            elif not allowed & region:
                false_alarm += q
        losses.append(1 - hit / (hit + 0.3 * false_alarm + 0.7 * miss))
    mine = tversky(label_log_probabilities(logits, GROUPS), target, membership(K, GROUPS), 0.3, 0.7)
    assert float(mine) == pytest.approx(np.mean(losses), rel=1e-5)


def test_expected_cost_distributes_the_true_class_over_a_group_by_the_networks_probabilities() -> None:
    logits, target = _case()
    total = 0.0
    pixels = _pixels(logits, target)
    for p, allowed in pixels:
        inside = sum(p[c] for c in allowed)
        total += sum(p[c] * COSTS[c, y] * p[y] / inside for c in range(K) for y in allowed)
    mean_mistake = COSTS[~np.eye(K, dtype=bool)].mean()
    mine = expected_cost(
        label_log_probabilities(logits, GROUPS), target, membership(K, GROUPS), torch.from_numpy(COSTS)
    )
    assert float(mine) == pytest.approx(total / len(pixels) / mean_mistake, rel=1e-5)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_border_band_agrees_with_a_distance_transform(width: int) -> None:
    generator = torch.Generator().manual_seed(4)
    coarse = torch.randint(0, 3, (3, 1, 3, 4), generator=generator).float()
    target = torch.nn.functional.interpolate(coarse, scale_factor=9).squeeze(1).long()
    band = border_band(target, membership(3, ()), width)
    for image, mine in zip(target.numpy(), band.numpy(), strict=True):
        touches = np.zeros(image.shape, bool)
        for axis in (0, 1):
            for step in (-1, 1):
                neighbour = np.roll(image, step, axis)
                edge = 0 if step == 1 else -1
                np.moveaxis(neighbour, axis, 0)[edge] = np.moveaxis(image, axis, 0)[edge]
                touches |= neighbour != image
        distance = cv2.distanceTransform((~touches).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.testing.assert_array_equal(mine, distance < width - 1e-3)


def test_there_is_no_border_between_compatible_labels_or_to_unlabelled_pixels() -> None:
    # Road, unlabelled, Tree|Grass (4), Tree (1), Grass (2): only Tree and Grass exclude each other.
    target = torch.tensor([[[0, IGNORE, 4, 1, 2]]])
    assert border_band(target, membership(K, GROUPS), 1).tolist() == [[[False, False, False, True, True]]]


def test_region_weights_multiply_class_and_border_and_take_the_mean_over_a_group() -> None:
    target = torch.tensor([[[0, 0, 1, 4, IGNORE]]])
    weights = region_weights(target, membership(K, GROUPS), torch.tensor([1.0, 3.0, 2.0, 1.0]), 1, 4.0)
    assert weights.tolist() == [[[1.0, 4.0, 12.0, 2.5, 0.0]]]
