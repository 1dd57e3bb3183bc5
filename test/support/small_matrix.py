"""A small cost matrix as YAML, and how to load variants of it."""

from __future__ import annotations

from pathlib import Path

from seg_perception.risk.cost_matrix import CostMatrix

CLASSES = ("Sky", "Road", "Person", "Wall")

VALID = """\
misclassification:
  default: 1
  correct: 0
  Road: {Person: 19, Wall: 3}
  Sky: {Wall: 2.5}
traverse: {Wall: 1016, Person: 5080, Road: 0, Sky: 254}
standing: [Wall, Person]
ignore: [Sky]
risk: {alpha: 0.25, lethal_at: 200}
"""


def load_matrix(folder: Path, text: str, classes: tuple[str, ...] = CLASSES) -> CostMatrix:
    """Write `text` to a file of `folder` and load it."""
    file = folder / "matrix.yaml"
    file.write_text(text)
    return CostMatrix.load(file, classes)
