"""Progress of a TensorRT build, from the nested phases that its builder reports."""

from __future__ import annotations

from dataclasses import dataclass

from seg_perception.inference.progress import Progress


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Combines nested phases and their steps into one fraction from 0 to 1 that never decreases.

    A phase inside another one fills the current step of the outer phase.
    """

    def __init__(self, report: Progress) -> None:
        """Call `report` whenever the fraction grows."""
        self._report = report
        self._phases: dict[str, _Phase] = {}
        self._reported = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase with `steps` steps begins, inside the phase `parent` if given."""
        self._phases[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, step: int) -> None:
        """Step number `step` (from 0) of a phase is done."""
        if name in self._phases:
            self._phases[name].done = step + 1
            self._update()

    def finish(self, name: str) -> None:
        """A phase is over."""
        self._phases.pop(name, None)

    def _update(self) -> None:
        fraction = max(
            (self._fraction(name) for name, phase in self._phases.items() if phase.parent is None), default=0.0
        )
        if fraction > self._reported:
            self._reported = fraction
            self._report(fraction)

    def _fraction(self, name: str) -> float:
        phase = self._phases[name]
        inner = [self._fraction(child) for child, other in self._phases.items() if other.parent == name]
        return min((phase.done + max(inner, default=0.0)) / phase.steps, 1.0)
