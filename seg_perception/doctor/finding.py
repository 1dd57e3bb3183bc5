"""What a look at the machine can find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        level: how bad it is.
        subject: what was looked at.
        found: what is the case.
        mend: what to do about it; empty when there is nothing to do.
    """

    level: Level
    subject: str
    found: str
    mend: str = ""


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, subject, found)


def note(subject: str, found: str, mend: str = "") -> Finding:
    """It works, but one may want it otherwise."""
    return Finding(Level.NOTE, subject, found, mend)


def problem(subject: str, found: str, mend: str = "") -> Finding:
    """It does not work."""
    return Finding(Level.PROBLEM, subject, found, mend)


def size(count: float) -> str:
    """A number of bytes, for people."""
    for unit, power in (("GB", 3), ("MB", 2), ("KB", 1)):
        if count >= 1024**power:
            return f"{count / 1024**power:.3g} {unit}"
    return f"{count:.0f} bytes"
