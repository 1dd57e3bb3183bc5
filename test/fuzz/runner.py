"""Fuzzes one reader in a process of its own: only SegPerceptionError may escape, within 5 s and 1 GB.

By hand, for an hour: nice python test/fuzz/runner.py png --seconds 3600 --seed 7
One input again:      python test/fuzz/runner.py png --seed 7 --only 1234

Each input has a generator of its own, seeded by target, seed and number.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

MAX_SECONDS = 5.0
"""Longest time of one call."""

MAX_BYTES = 1_000_000_000
"""Most memory that the process takes on top of what it has after its imports."""

_HANG_SECONDS = 60.0  # until the whole process counts as one that hangs
_MAX_FAILURES = 5
_STACK_LINES = 6


@dataclass
class Report:
    """Result of one process.

    Attributes:
        inputs: number of inputs that were read.
        refused: how many of them raised a SegPerceptionError.
        failures: a text per input that failed, beginning with its number.
    """

    inputs: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def run(name: str, seconds: float, seed: int) -> Report:
    """Fuzz a reader in a process of its own.

    Args:
        name: key of `targets.TARGETS`.
        seconds: time after which the process starts no further input.
        seed: of the inputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        command = [
            sys.executable,
            __file__,
            name,
            "--seconds",
            str(seconds),
            "--seed",
            str(seed),
            "--state",
            str(state),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _HANG_SECONDS)
            end = f"the process ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
        except subprocess.TimeoutExpired:
            done, end = None, f"no answer within {_HANG_SECONDS:g} s"
        if done is not None and done.returncode == 0:
            return Report(**json.loads(done.stdout.splitlines()[-1]))
        number = state.read_text() if state.is_file() else "unknown"
        return Report(failures=[f"{number}: {end}"])


def fuzz(name: str, seconds: float, seed: int, state: Path | None = None, only: int | None = None) -> Report:
    """Fuzz a reader in this process, whose memory is limited from now on.

    Args:
        name: key of `targets.TARGETS`.
        seconds: time after which no further input is started.
        seed: of the inputs.
        state: file that holds the number of the current input, for a process that dies.
        only: read this input alone.
    """
    from targets import TARGETS, is_expected

    target = TARGETS[name]
    report = Report()
    end = time.monotonic() + seconds
    number = 0 if only is None else only
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        _read(target, _input(target, name, seed, number), Path(folder), is_expected)  # what is loaded on first use
        before = _peak_bytes()
        _limit_memory()
        while time.monotonic() < end and len(report.failures) < _MAX_FAILURES:
            if state is not None:
                state.write_text(str(number))
            content = _input(target, name, seed, number)
            start = time.monotonic()
            problem, is_refused = _read(target, content, Path(folder), is_expected)
            lasted = time.monotonic() - start
            if lasted > MAX_SECONDS:
                problem = f"took {lasted:.1f} s"
            if _peak_bytes() - before > MAX_BYTES:
                problem = f"took {(_peak_bytes() - before) / 1e6:.0f} MB"
                before = _peak_bytes()
            if problem:
                report.failures.append(f"{number}: {problem}")
            report.inputs += 1
            report.refused += is_refused
            number += 1
            if only is not None:
                break
    return report


def _input(target, name: str, seed: int, number: int):  # type: ignore[no-untyped-def]
    return target.make(random.Random(f"{name} {seed} {number}"))


def _read(target, content, folder: Path, is_expected) -> tuple[str, bool]:  # type: ignore[no-untyped-def]
    """What went wrong, "" for nothing, and whether the input was refused."""
    try:
        target.read(content, folder)
    except Exception as error:
        if is_expected(error):
            return "", True
        stack = traceback.format_exc().strip().splitlines()
        return f"{type(error).__name__}: {str(error)[:300]}\n" + "\n".join(stack[-_STACK_LINES:]), False
    return "", False


def _peak_bytes() -> int:
    """Of this program alone; what getrusage reports begins with the peak of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _limit_memory() -> None:
    """Stop the process from taking the machine's memory: three times what counts as a failure."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 3 * MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--state", type=Path)
    arguments = parser.parse_args()
    report = fuzz(arguments.target, arguments.seconds, arguments.seed, arguments.state, arguments.only)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
