"""Parts of the command line that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

from seg_perception.errors import SegPerceptionError


class Commands(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns, as far as a command needs it."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:
        """Add a command."""


def add_command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a command with one summary: in the list of all commands, and as a sentence at the top of its own help.

    Args:
        commands: where to add it.
        name: of the command.
        summary: one sentence, without capital and full stop.
    """
    return commands.add_parser(name, help=summary, description=f"{summary[:1].upper()}{summary[1:]}.")


class Bar:
    """A progress bar with ETA, made when the total is known."""

    def __init__(self, what: str) -> None:
        """Name the job in progress."""
        self._what = what
        self._bar: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        """Show that `done` of `total` are finished."""
        if self._bar is None:
            # A resumed run starts in the middle; its rate must not include what was done before.
            self._bar = tqdm(total=total, desc=self._what, unit="", initial=done - 1, disable=None)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Callable[[int, int | None], None]:
        """Use it as the `progress` of a long job."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def needs_ros(what: str) -> Iterator[None]:
    """Wrap the import of a module that needs ROS 2.

    Raises:
        SegPerceptionError: ROS 2 is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("seg_perception"):
            raise
        raise SegPerceptionError(
            f"{what} needs ROS 2 ({error.name} is missing); source your ROS 2 installation, or: "
            "pip install 'seg_perception[ros]'."
        ) from None


def positive(text: str) -> int:
    """An argument type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
