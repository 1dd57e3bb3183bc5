"""The command line itself: help, version, and a description of every command."""

from __future__ import annotations

import subprocess
import sys

import pytest

import seg_perception
from seg_perception.cli.__main__ import main

COMMANDS = [
    "demo", "replay", "play", "render", "train", "calibrate", "teach", "evaluate", "evaluate network",
    "evaluate costmap", "card", "compile", "bench", "bench speed", "bench closed-loop", "doctor",
]  # fmt: skip


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: seg-perception") and "closed-loop study" in printed


def test_version_is_that_of_the_package() -> None:
    command = [sys.executable, "-m", "seg_perception.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"seg-perception {seg_perception.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_describes_itself_in_one_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*command.split(), "--help"])
    assert exit_.value.code == 0
    usage, description, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: seg-perception {command} ")
    assert description[0].isupper() and description.endswith(".")


def test_a_mode_of_the_benchmark_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["bench"])
    assert exit_.value.code == 2 and "speed|closed-loop" in capsys.readouterr().err
