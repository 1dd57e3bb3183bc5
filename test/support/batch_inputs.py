"""Recordings for distributed replay, and the comparison of two replays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader
from support import tiny_networks
from support.small_bags import drive
from test_replay import MATRIX

IMAGES = 260
# Half-lives, s: after the warm-up a robot at 2 m/s has left all cells behind, or still sees some, or nothing decays.
LEFT_BEHIND, STILL_THERE, ENDLESS = 0.1, 0.05, 100.0


def write_inputs(folder: Path) -> Path:
    """A folder with a network, a matrix, settings by half-life, a long drive and a short one."""
    tiny_networks.save(folder, tiny_networks.network(), tiny_networks.card())
    (folder / "matrix.yaml").write_text(MATRIX, encoding="utf-8")
    for half_life, reach in ((LEFT_BEHIND, 3.0), (STILL_THERE, 6.0), (ENDLESS, 3.0)):
        (folder / f"{half_life}.yaml").write_text(
            f"ground: {{max_range: {reach}, max_samples: 500}}\n"
            f"grid: {{width: {2 + 2 * reach}, height: {2 + 2 * reach}, min_evidence: 0.02, half_life: {half_life}}}\n",
            encoding="utf-8",
        )
    drive(count=IMAGES).write(folder).rename(folder / "long")
    drive(count=30).write(folder).rename(folder / "short")
    return folder


def arguments(inputs: Path, out: Path, *more: str, half_life: float = LEFT_BEHIND) -> list[str]:
    """The command line of a replay with these inputs."""
    files = {"--model": "tiny.onnx", "--matrix": "matrix.yaml", "--config": f"{half_life}.yaml"}
    given = [text for option, name in files.items() for text in (option, str(inputs / name))]
    return ["replay", "--out", str(out), "--backend", "onnx_cpu", "--threads", "1", *given, *more]


def summary(out: Path) -> dict[str, Any]:
    """The content of summary.json."""
    content: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return content


def same(one: Path, other: Path) -> bool:
    """Whether two replays have the same result, apart from times, memory and the request."""
    keys = ("frames", "problems", "projections", "cells", "engine", "versions", "hashes")
    first, second = summary(one), summary(other)
    return _messages(one) == _messages(other) and all(first[key] == second[key] for key in keys)


def _messages(out: Path) -> list[tuple[str, int, bytes]]:
    with Reader(out / "result.mcap") as reader:
        return [(c.topic, time_ns, bytes(data)) for c, time_ns, data in reader.messages() if "latency" not in c.topic]
