"""Resident memory of this process, now and at its peak."""

from __future__ import annotations

from pathlib import Path

from seg_perception.bags.tally import peak_rss_mb

_STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    """Resident memory now, MB; its peak where the system does not tell."""
    return _field("VmRSS")


def peak_mb() -> float:
    """Largest resident memory so far, MB, of this program alone: getrusage counts that of who started it, too."""
    return _field("VmHWM")


def _field(name: str) -> float:
    if not _STATUS.exists():
        return peak_rss_mb()
    lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines())
    return round(float(lines[name].split()[0]) / 1024, 1)
