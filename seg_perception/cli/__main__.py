"""The command line: seg-perception COMMAND."""

from __future__ import annotations

import time

STARTED = time.monotonic()  # before the imports, which are part of the time to the first result

import argparse  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from seg_perception import __version__  # noqa: E402
from seg_perception.cli import bench, card, compile, demo, doctor, evaluate, play, replay, teach, training  # noqa: E402
from seg_perception.errors import SegPerceptionError  # noqa: E402

_USER_ERROR = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; without one, print the help.

    Args:
        arguments: the command line without the program's name; `sys.argv[1:]` when None.

    Returns:
        The exit code: 0 success, 2 a user error that one sentence on stderr explains, 130 interrupted.
    """
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    if parsed.run is None:
        parser.print_help()
        return 0
    parsed.command_line = shlex.join(["seg-perception", *(sys.argv[1:] if arguments is None else arguments)])
    parsed.started = STARTED
    try:
        parsed.run(parsed)
    except SegPerceptionError as error:
        print(f"seg-perception: {error}", file=sys.stderr)
        return _USER_ERROR
    except KeyboardInterrupt:
        hint = "; finished results are on disk, --resume continues" if hasattr(parsed, "resume") else ""
        print(f"seg-perception: interrupted{hint}.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="seg-perception", description="Camera images to nav2 costmaps by Bayes risk.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in (demo, replay, play, training, teach, evaluate, card, compile, bench, doctor):
        command.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
