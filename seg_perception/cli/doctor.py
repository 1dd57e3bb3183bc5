"""seg-perception doctor: check this machine, and name a fix for every problem."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from seg_perception.cli.common import Commands, add_command
from seg_perception.doctor.finding import Finding, Severity
from seg_perception.errors import SegPerceptionError

_PROBLEM_FOUND = 1
_WIDTH = 120
_SEVERITY_WIDTH, _SUBJECT_WIDTH = 9, 32


def register(commands: Commands) -> None:
    """Add the command."""
    doctor = add_command(commands, "doctor", "check libraries, network, ROS 2 and cameras of this machine")
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    problems = 0
    for title, findings in _sections():
        # Print each section at once: listening to cameras takes seconds.
        print(f"{title}\n{table(findings)}\n", flush=True)
        problems += sum(finding.severity is Severity.PROBLEM for finding in findings)
    print(f"{problems or 'no'} problem{'' if problems == 1 else 's'} found.")
    if problems:
        raise SystemExit(_PROBLEM_FOUND)


def table(findings: Iterable[Finding]) -> str:
    """The findings as aligned text, with the fix of each below it."""
    lines: list[str] = []
    for finding in findings:
        lines += _cell(
            f"  {finding.severity.value:<{_SEVERITY_WIDTH}}{finding.subject:<{_SUBJECT_WIDTH}} ", finding.found
        )
        if finding.fix:
            lines += _cell(" " * (_SEVERITY_WIDTH + _SUBJECT_WIDTH) + "→  ", finding.fix)
    return "\n".join(lines)


def _cell(head: str, text: str) -> list[str]:
    indent = " " * (_SEVERITY_WIDTH + _SUBJECT_WIDTH + 3)
    return textwrap.wrap(
        text, _WIDTH, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _sections() -> Iterator[tuple[str, Sequence[Finding]]]:
    # Imported here: other commands must not wait for these imports.
    from seg_perception.doctor import software

    yield "software", [*software.libraries(), software.model()]
    try:
        from seg_perception.doctor import gpu
    except ImportError:  # a missing library, which the section above reports
        return
    yield "GPU", gpu.findings()
    yield from _ros_sections()


def _ros_sections() -> Iterator[tuple[str, Sequence[Finding]]]:
    from seg_perception.doctor import cameras, dds, ros
    from seg_perception.doctor.finding import note, ok, problem
    from seg_perception.doctor.probe import run_probe

    if not ros.rclpy_is_installed():
        yield "ROS 2", [ros.rclpy_missing()]
        return
    distro = ros.distro(os.environ)
    about = [ok("ROS distribution", distro) if distro else note("ROS distribution", "unknown", "set ROS_DISTRO")]
    about += ros.discovery(os.environ)
    try:
        seen = run_probe(os.environ)
    except SegPerceptionError as error:
        fix = "source one ROS distribution that fits this Python; check RMW_IMPLEMENTATION and ROS_DOMAIN_ID"
        yield "ROS 2", [*about, problem("rclpy", str(error), fix)]
        return
    yield "ROS 2", [*about, ok("rclpy", f"loads; {seen.rmw}"), *ros.packages(seen.packages)]
    yield "DDS", [dds.profile(distro, seen.rmw, os.environ), dds.shared_memory()]
    setting = f"{dds.profile_variable(distro)}={dds.shipped_profile()}"
    nobody = note(
        "image topics", "none is announced", "start the camera, with the same ROS_DOMAIN_ID and RMW_IMPLEMENTATION"
    )
    yield "cameras", cameras.diagnose(seen.topics, setting) or [nobody]
