"""Memory and processor time of this process, or of another by its id."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_mb(process: int | None = None) -> float:
    """Resident memory now, MB; its peak where the system does not report it.

    Args:
        process: its id, on Linux only; None for this one.
    """
    return _field("VmRSS", _STATUS if process is None else Path(f"/proc/{process}/status"))


def peak_mb() -> float:
    """Largest resident memory of this program so far, MB.

    On Linux it comes from /proc. Elsewhere it comes from getrusage, which includes the process that this one was forked
    from (getrusage(2)).
    """
    return _field("VmHWM", _STATUS)


def processor_s(process: int) -> float:
    """Processor time that a process has used so far with all its threads, s; on Linux only (proc(5))."""
    # The name in brackets may hold blanks and brackets itself.
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def _field(name: str, status: Path) -> float:
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines())
    return round(float(lines[name].split()[0]) / 1024, 1)
