"""seg-perception play: a recording published on ROS topics."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from seg_perception.cli.common import Bar, Commands, add_command, needs_ros, positive
from seg_perception.cli.replay import add_source_arguments, source_options
from seg_perception.errors import RecordingError


def register(commands: Commands) -> None:
    """Add the command."""
    play = add_command(commands, "play", "publish a recording on ROS topics with its recorded times and /clock")
    add_source_arguments(play)
    play.add_argument("--playback-rate", type=float, default=1.0, help="speed as a multiple of the recorded speed")
    play.add_argument("--loop", action="store_true", help="start again at the end")
    play.add_argument("--no-clock", action="store_true", help="do not publish /clock")
    play.add_argument(
        "--wait-for", type=positive, default=1, metavar="N", help="start when N nodes have subscribed to the images"
    )
    play.set_defaults(run=_play)


def _play(arguments: argparse.Namespace) -> None:
    if not arguments.playback_rate > 0:
        raise RecordingError(f"--playback-rate {arguments.playback_rate:g}: must be above 0.")
    with needs_ros("playing to ROS topics"):
        from seg_perception.ros.tools.play import PlayRequest, play, ros
    request = PlayRequest(
        source=arguments.input,
        options=source_options(arguments),
        rate=arguments.playback_rate,
        loop=arguments.loop,
        clock=not arguments.no_clock,
        subscribers=arguments.wait_for,
    )
    with ros(), Bar("playing") as progress:
        play(request, tqdm.write, progress)
