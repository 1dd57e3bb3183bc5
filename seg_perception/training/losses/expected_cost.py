"""The expected-cost loss: expected cost of the network's probabilities under the user's cost matrix."""

from __future__ import annotations

from torch import Tensor

from seg_perception.datasets.dataset import IGNORE
from seg_perception.training.losses.labels import labelled_log_probability, per_pixel, soft_confusion


def expected_cost(log_q: Tensor, target: Tensor, members: Tensor, costs: Tensor) -> Tensor:
    """Mean over labelled pixels of Σ_c p(c) C[c, y], in units of the matrix's mean mistake.

    The probabilities are taken as those of each decision, as in cost-sensitive learning (Galdran et al.,
    *Cost-sensitive regularization for diabetic retinopathy grading from eye fundus images*, MICCAI 2020). Where labels
    are uncertain, the loss is least for the decision of least Bayes risk, and the same matrix applied to that optimum
    gives the same decision: training and decision agree. It is no proper score, though: alone it drives every
    probability to 0 or 1. Add it to cross-entropy.

    Where a label leaves a choice, the true class is distributed over the group by the network's probabilities, without
    gradient: otherwise the loss would favour the cheapest class of the group.

    Args:
        log_q: float [N, K+G, H, W] from `label_log_probabilities`.
        target: int64 [N, H, W], 255 ignored.
        members: float [K+G, K] from `membership`.
        costs: C float [K, K], C[decision, true class] ≥ 0, with at least one mistake of cost above 0.

    Returns:
        Scalar in [min C, max C] / (mean of C off its diagonal): if right decisions cost nothing, 0 is perfect and
        1 is a mistake of average cost at every pixel; 0, with a gradient of 0, when no pixel is labelled.
    """
    classes = len(costs)
    log_p = log_q[:, :classes]
    # No allowed class exceeds its label's probability; the bound keeps the others from overflowing before their 0.
    belief = (log_p - labelled_log_probability(log_q, target).unsqueeze(1)).clamp(max=0.0).detach().exp()
    decided = soft_confusion(log_p.exp(), per_pixel(members, target) * belief)
    mean_mistake = (costs.sum() - costs.trace()) / (classes * (classes - 1))
    return (decided * costs).sum() / mean_mistake / (target != IGNORE).sum().clamp(min=1)
