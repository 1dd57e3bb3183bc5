"""The purpose of each loss, on small tasks with a known solution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from seg_perception.risk.measures import bayes_decision  # noqa: E402
from seg_perception.training.losses.expected_cost import expected_cost  # noqa: E402
from seg_perception.training.losses.labels import label_log_probabilities, membership  # noqa: E402
from seg_perception.training.losses.overlap import dice, jaccard, tversky  # noqa: E402
from seg_perception.training.losses.pointwise import cross_entropy, focal, smoothed_labels  # noqa: E402
from seg_perception.training.losses.region import region_weights  # noqa: E402

COSTS = torch.tensor([[0.0, 1.0, 19.0], [2.0, 0.0, 4.0], [1.0, 1.0, 0.0]])


def _descent(
    loss: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor, groups: tuple[tuple[int, ...], ...] = ()
) -> torch.Tensor:
    """Descent direction of each logit: minus the gradient, [N, K, H, W]."""
    logits = logits.detach().clone().requires_grad_()
    loss(label_log_probabilities(logits, groups)).backward()
    return -logits.grad


def _minimised(
    loss: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor, steps: int = 300, rate: float = 0.1
) -> torch.Tensor:
    """Class probabilities after gradient descent on the logits, [N, K, H, W]."""
    logits = logits.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(label_log_probabilities(logits, ())).backward()
        optimiser.step()
    return torch.softmax(logits.detach(), dim=1)


def _half_seen_object(share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """An image of 100 x 100 with an object of this share and probability 0.5; the background is certain."""
    target = (torch.arange(10_000) < 10_000 * share).long().view(1, 100, 100)
    logits = torch.zeros(1, 2, 100, 100)
    logits[:, 0] = torch.where(target == 1, 0.0, 30.0)
    return logits, target


@pytest.mark.parametrize("loss", [dice, jaccard])
def test_the_gradient_of_an_overlap_loss_does_not_vanish_with_the_size_of_an_object(loss) -> None:
    members, descents, likelihood_descents = membership(2, ()), {}, {}
    for share in (0.5, 0.01, 0.001):
        logits, target = _half_seen_object(share)
        descents[share] = float(_descent(lambda log_q, target=target: loss(log_q, target, members), logits)[:, 1].sum())
        likelihood_descents[share] = float(
            _descent(lambda log_q, target=target: cross_entropy(log_q, target, torch.ones(2)), logits)[:, 1].sum()
        )
    assert descents[0.01] > 0.5 * descents[0.5] and descents[0.001] == pytest.approx(descents[0.01], rel=0.05)
    assert likelihood_descents[0.01] == pytest.approx(likelihood_descents[0.5] / 50, rel=1e-3)


def test_focal_loss_reduces_the_weight_of_easy_pixels() -> None:
    # 990 pixels are right at 95 %, 10 are wrong at 20 %.
    p = torch.where(torch.arange(1000) < 990, 0.95, 0.2)
    logits = torch.stack([p, 1 - p]).log().view(1, 2, 1, 1000)
    target, ones = torch.zeros(1, 1, 1000, dtype=torch.int64), torch.ones(2)

    def share_of_the_easy(loss: Callable[[torch.Tensor], torch.Tensor]) -> float:
        descent = _descent(loss, logits)[0, 0, 0]
        return float(descent[:990].sum() / descent.sum())

    assert share_of_the_easy(lambda log_q: cross_entropy(log_q, target, ones)) > 0.8
    assert share_of_the_easy(lambda log_q: focal(log_q, target, ones, 2.0)) < 0.1


def test_tversky_with_beta_above_alpha_trades_misses_for_false_alarms() -> None:
    # Of ten kinds of pixels that look alike, k tenths of kind k belong to the object; as many kinds again never do.
    kinds = torch.cat([torch.arange(10), torch.zeros(10, dtype=torch.int64)])
    target = (torch.arange(10) < kinds.unsqueeze(1)).long().unsqueeze(0)
    members = membership(2, ())
    misses, false_alarms = [], []
    for beta in (0.3, 0.7, 0.9):

        def loss(log_q: torch.Tensor, beta: float = beta) -> torch.Tensor:
            return tversky(log_q.expand(1, 2, 20, 10), target, members, 1.0 - beta, beta)

        found = _minimised(loss, torch.zeros(1, 2, 20, 1))[:, 1]
        misses.append(float(((1 - found) * target).sum()))
        false_alarms.append(float((found * (1 - target)).sum()))
    # Kind k holds k pixels of the object and 10 - k others: the kinds from 5, from 4 and from 3 on are taken for it.
    assert misses == pytest.approx([1 + 2 + 3 + 4, 1 + 2 + 3, 1 + 2], abs=0.1)
    assert false_alarms == pytest.approx([5 + 4 + 3 + 2 + 1, 6 + 15, 7 + 21], abs=0.1)


@pytest.mark.parametrize(
    ("ground_truth", "decision"),
    [
        ((0.90, 0.07, 0.03), 0),
        ((0.80, 0.10, 0.10), 2),  # deciding for the most probable class would be too expensive
        ((0.30, 0.65, 0.05), 1),
        ((0.28, 0.60, 0.12), 2),
        ((0.60, 0.35, 0.05), 2),
    ],
)
def test_expected_cost_is_least_for_the_bayes_decision_of_the_matrix(
    ground_truth: tuple[float, ...], decision: int
) -> None:
    # A hundred pixels that look alike and are labelled in these proportions.
    target = torch.repeat_interleave(torch.arange(3), torch.tensor([round(100 * share) for share in ground_truth]))
    target, members = target.view(1, 1, 100), membership(3, ())
    assert int(bayes_decision(np.array(ground_truth), COSTS.numpy())) == decision

    def cost(log_q: torch.Tensor) -> torch.Tensor:
        return expected_cost(log_q.expand(1, 3, 1, 100), target, members, COSTS)

    def cost_and_likelihood(log_q: torch.Tensor) -> torch.Tensor:
        return cost(log_q) + cross_entropy(log_q.expand(1, 3, 1, 100), target, torch.ones(3))

    answer = _minimised(cost, torch.zeros(1, 3, 1, 1)).ravel()
    assert answer[decision] > 0.98
    for loss in (cost, cost_and_likelihood):
        answer = _minimised(loss, torch.zeros(1, 3, 1, 1)).ravel()
        assert int(bayes_decision(answer.numpy(), COSTS.numpy())) == decision


def test_errors_on_borders_and_on_people_weigh_more_by_region() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.int64)
    target[:, :, 4:] = 1  # a person at the right
    members, ones = membership(2, ()), torch.ones(2)
    pixels = region_weights(target, members, torch.tensor([1.0, 3.0]), 1, 4.0)
    descent = _descent(lambda log_q: cross_entropy(log_q, target, ones, pixels), torch.zeros(1, 2, 8, 8))[
        0, :, 3
    ].abs()[0]
    assert (descent / descent[0]).tolist() == pytest.approx([1, 1, 1, 4, 12, 3, 3, 3])


def test_the_distribution_within_a_group_changes_no_likelihood_and_no_overlap() -> None:
    groups = ((1, 2),)
    target, ones, members = torch.full((1, 1, 1), 3), torch.ones(4), membership(3, groups)
    even, uneven = (
        label_log_probabilities(torch.tensor(p).log().view(1, 3, 1, 1), groups)
        for p in ((0.2, 0.4, 0.4), (0.2, 0.75, 0.05))
    )
    for loss in (
        lambda log_q: cross_entropy(log_q, target, ones),
        lambda log_q: cross_entropy(log_q, target, ones, None, smoothed_labels(members, 0.2)),
        lambda log_q: focal(log_q, target, ones, 2.0),
        lambda log_q: tversky(log_q, target, members, 0.3, 0.7),
    ):
        assert float(loss(even)) == pytest.approx(float(loss(uneven)))


def test_a_car_predicted_in_vegetation_is_a_false_positive_although_the_label_leaves_a_choice() -> None:
    # Car, Tree, Grass; the label of the second pixel says "Tree or Grass".
    target, members = torch.tensor([[[0, 3]]]), membership(3, ((1, 2),))
    logits = torch.zeros(1, 3, 1, 2)
    descent = _descent(lambda log_q: dice(log_q, target, members), logits, ((1, 2),))
    assert descent[0, 0, 0, 1] < 0 < descent[0, 1, 0, 1]
    assert float(descent[0, 1, 0, 1]) == pytest.approx(float(descent[0, 2, 0, 1]))
