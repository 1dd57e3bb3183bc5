"""Expected cost and CVaR of class probabilities by hand, next to the library's: python examples/risk_by_hand.py."""

import numpy as np

from seg_perception.risk.measures import bayes_decision, cvar, expected_cost

classes = ("road", "grass", "person")
p = np.array([0.90, 0.08, 0.02])  # class probabilities of one cell
t = np.array([0.0, 100.0, 5080.0])  # cost of driving over each class, nav2 units; 254 is lethal

# Expected cost: every class counts with its probability.
by_hand = sum(p[k] * t[k] for k in range(3))  # 0.08 * 100 + 0.02 * 5080 = 109.6
print(f"expected cost: {by_hand:.1f} by hand, {expected_cost(p, t):.1f} by the library")

# CVaR: the mean cost of the worst 1 - alpha of the probability. Take classes from the most expensive one down until
# the tail is full; the last one counts with the part that still fits.
alpha = 0.95
tail = 1 - alpha
left, total = tail, 0.0
for k in np.argsort(-t):
    mass = min(p[k], left)
    total += mass * t[k]
    left -= mass
by_hand = total / tail  # (0.02 * 5080 + 0.03 * 100) / 0.05 = 2092
print(f"CVaR at alpha {alpha}: {by_hand:.1f} by hand, {cvar(p, t, alpha):.1f} by the library")

# The label is the decision of least risk, and not the most probable class: mistaking a person for road is expensive.
costs = np.array([[0, 1, 60], [1, 0, 60], [1, 1, 0]])  # C[decision, true class]
risk = [sum(costs[decision, k] * p[k] for k in range(3)) for decision in range(3)]
print(f"most probable: {classes[int(np.argmax(p))]}; least risk: {classes[int(np.argmin(risk))]}")
assert bayes_decision(p, costs) == np.argmin(risk)
