"""Resident memory of this process, now and at its peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    """Resident memory now, MB; its peak where the system does not tell."""
    return _field("VmRSS")


def peak_mb() -> float:
    """Largest resident memory of this program so far, MB.

    Where the system does not tell (anything but Linux) it is getrusage's, which counts that of the process it was
    forked from, too (getrusage(2)).
    """
    return _field("VmHWM")


def _field(name: str) -> float:
    if not _STATUS.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
    lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines())
    return round(float(lines[name].split()[0]) / 1024, 1)
