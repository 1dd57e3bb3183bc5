"""Findings of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Severity of a finding."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        severity: of the finding.
        subject: what was checked.
        found: the result of the check.
        fix: what to do; empty if nothing.
    """

    severity: Severity
    subject: str
    found: str
    fix: str = ""


def ok(subject: str, found: str) -> Finding:
    """A finding without a problem."""
    return Finding(Severity.OK, subject, found)


def note(subject: str, found: str, fix: str = "") -> Finding:
    """A finding that works, but may not be what the user wants."""
    return Finding(Severity.NOTE, subject, found, fix)


def problem(subject: str, found: str, fix: str = "") -> Finding:
    """A finding that does not work."""
    return Finding(Severity.PROBLEM, subject, found, fix)


def size(count: float) -> str:
    """Format a number of bytes for people."""
    for unit, power in (("GB", 3), ("MB", 2), ("KB", 1)):
        if count >= 1024**power:
            return f"{count / 1024**power:.3g} {unit}"
    return f"{count:.0f} bytes"
