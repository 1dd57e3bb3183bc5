"""Losses: closed forms, gradients, and labels that leave a choice."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from seg_perception.training.losses import (  # noqa: E402
    combined,
    cross_entropy,
    dice,
    focal,
    label_log_probabilities,
)


def _log_q(logits: list[float], groups: tuple[tuple[int, ...], ...] = ()) -> torch.Tensor:
    """One pixel with these logits."""
    return label_log_probabilities(torch.tensor(logits).view(1, -1, 1, 1), groups)


def _target(*values: int) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, -1)


def test_cross_entropy_of_even_odds_is_log_of_the_class_count() -> None:
    assert float(cross_entropy(_log_q([0.0] * 5), _target(3))) == pytest.approx(math.log(5))


def test_a_choice_of_classes_costs_the_log_of_their_summed_probability() -> None:
    # p = (1/2, 1/4, 1/4); the label "1 or 2" has probability 1/2.
    log_q = _log_q([math.log(2), 0.0, 0.0], ((1, 2),))
    assert float(cross_entropy(log_q, _target(3))) == pytest.approx(math.log(2))
    assert float(cross_entropy(_log_q([5.0, 1.0, 2.0], ((0, 1, 2),)), _target(3))) == pytest.approx(0.0, abs=1e-6)


def test_a_choice_does_not_push_between_its_members() -> None:
    logits = torch.tensor([0.0, 1.0, 1.0]).view(1, 3, 1, 1).requires_grad_()
    cross_entropy(label_log_probabilities(logits, ((1, 2),)), _target(3)).backward()
    assert logits.grad is not None
    pull = logits.grad.ravel()
    assert pull[1] == pytest.approx(float(pull[2])) and pull[1] < 0 < pull[0]


def test_focal_with_gamma_zero_is_cross_entropy_and_silences_easy_pixels() -> None:
    hard, easy = _log_q([0.0, 0.0]), _log_q([6.0, 0.0])
    assert float(focal(hard, _target(0), gamma=0.0)) == pytest.approx(float(cross_entropy(hard, _target(0))))
    assert float(focal(hard, _target(0))) == pytest.approx(0.25 * math.log(2))
    q = 1 / (1 + math.exp(-6))
    assert float(focal(easy, _target(0))) == pytest.approx((1 - q) ** 2 * -math.log(q), rel=1e-4)


def test_dice_is_zero_when_perfect_and_one_when_all_wrong() -> None:
    truth = torch.tensor([[[0, 0, 1, 1]]])
    certain = torch.full((1, 2, 1, 4), -60.0)
    certain[0, 0, 0, :2] = certain[0, 1, 0, 2:] = 60.0
    assert float(dice(label_log_probabilities(certain, ()), truth, 2, smooth=0.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice(label_log_probabilities(-certain, ()), truth, 2, smooth=0.0)) == pytest.approx(1.0, abs=1e-6)


def test_pixels_without_label_change_nothing() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 6, 6)
    target = torch.randint(0, 4, (2, 6, 6))
    target[:, 3:] = 255
    noise = logits.clone()
    noise[:, :, 3:] += torch.randn(2, 4, 3, 6)
    for loss in (cross_entropy, focal, lambda q, t: dice(q, t, 4)):
        a = loss(label_log_probabilities(logits, ()), target)
        b = loss(label_log_probabilities(noise, ()), target)
        assert float(a) == pytest.approx(float(b), rel=1e-5)


def test_a_batch_without_any_label_gives_zero_and_no_nan() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    parts = {"cross_entropy": 1.0, "focal": 1.0, "dice": 1.0}
    loss = combined(logits, torch.full((1, 8, 8), 255), (), parts, torch.ones(3))
    loss.backward()
    assert float(loss) == 0.0
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "dice"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    torch.manual_seed(1)
    logits = torch.randn(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 4, (1, 3, 3))

    def loss(values: torch.Tensor) -> torch.Tensor:
        # The product works in float32; the check needs the same formulas in float64.
        log_p = torch.log_softmax(values, dim=1)
        log_q = torch.cat([log_p, torch.logsumexp(log_p[:, [0, 2]], dim=1, keepdim=True)], dim=1)
        if name == "dice":
            return dice(log_q, target, 3)
        return {"cross_entropy": cross_entropy, "focal": focal}[name](log_q, target)

    assert torch.autograd.gradcheck(loss, (logits,))
