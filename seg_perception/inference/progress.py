"""Callbacks for what takes time: log messages, and the progress of a build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Log = Callable[[str], None]
"""Takes one sentence for people."""

Progress = Callable[[float], None]
"""Takes the fraction that is done, from 0 to 1."""


@dataclass(frozen=True)
class ProgressReporter:
    """Where the opening of a network reports to.

    Attributes:
        log: takes sentences: what was chosen, and why something takes long.
        progress: takes the fraction of a build that is done, 0 to 1.
    """

    log: Log = lambda sentence: None
    progress: Progress = lambda fraction: None
