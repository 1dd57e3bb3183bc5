"""How far TensorRT is with a build, from the phases within phases that its builder reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[float], None]


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Turns phases and their steps into one share from 0 to 1 that never falls.

    A phase that runs inside another one fills the other's current step.
    """

    def __init__(self, tell: Progress) -> None:
        """Tell `tell` every time the share grows."""
        self._tell = tell
        self._phases: dict[str, _Phase] = {}
        self._told = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, within `parent` if it is given."""
        self._phases[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, step: int) -> None:
        """Step number `step` of a phase is done, counted from 0."""
        if name in self._phases:
            self._phases[name].done = step + 1
            self._update()

    def finish(self, name: str) -> None:
        """A phase is over."""
        self._phases.pop(name, None)

    def _update(self) -> None:
        share = max((self._share(name) for name, phase in self._phases.items() if phase.parent is None), default=0.0)
        if share > self._told:
            self._told = share
            self._tell(share)

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        inner = [self._share(child) for child, other in self._phases.items() if other.parent == name]
        return min((phase.done + max(inner, default=0.0)) / phase.steps, 1.0)
