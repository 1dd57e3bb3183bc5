"""The loss of the cost matrix: what the network's answers cost, as the user priced them."""

from __future__ import annotations

from torch import Tensor

from seg_perception.datasets.dataset import IGNORE
from seg_perception.training.losses.labels import labelled_log_probability, per_pixel, soft_confusion


def expected_cost(log_q: Tensor, target: Tensor, members: Tensor, costs: Tensor) -> Tensor:
    """Mean over labelled pixels of Σ_c p(c) C[c, y], in units of the matrix's mean mistake.

    The probabilities are taken as the odds of each decision, as cost-sensitive learning does (Galdran et al.,
    *Cost-sensitive regularization for diabetic retinopathy grading from eye fundus images*, MICCAI 2020). Where labels
    are uncertain the loss is least for the one decision of least Bayes risk, and the same matrix, applied to that
    answer, decides the same again: training and decision agree. It is no proper score, though: alone it drives every
    probability to 0 or 1. Add it to cross-entropy.

    Where a label leaves a choice, the truth is spread over the group as the network believes it, and that belief is
    held fixed: a loss that could move it would choose the truth that is cheapest.

    Args:
        log_q: float [N, K+G, H, W] from `label_log_probabilities`.
        target: int64 [N, H, W], 255 ignored.
        members: float [K+G, K] from `membership`.
        costs: C float [K, K], C[decision, truth] ≥ 0, with a mistake that costs something.

    Returns:
        Scalar in [min C, max C] / (mean of C off its diagonal): with right answers for nothing, 0 is perfect and 1 a
        mistake of average price at every pixel; 0, with a gradient of 0, when no pixel is labelled.
    """
    classes = len(costs)
    log_p = log_q[:, :classes]
    # No allowed class exceeds its label's probability; the bound keeps the others from overflowing before their 0.
    belief = (log_p - labelled_log_probability(log_q, target).unsqueeze(1)).clamp(max=0.0).detach().exp()
    decided = soft_confusion(log_p.exp(), per_pixel(members, target) * belief)
    mean_mistake = (costs.sum() - costs.trace()) / (classes * (classes - 1))
    return (decided * costs).sum() / mean_mistake / (target != IGNORE).sum().clamp(min=1)
