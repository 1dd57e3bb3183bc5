"""The lock of the plan cache: several processes build a plan once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import tiny_networks as tiny

from seg_perception.inference.tensorrt import plan as plans
from seg_perception.inference.tensorrt.plan_cache import PlanCache

_BUILDER = """
import sys, time
from pathlib import Path
from test_plan_lock import build_slowly
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
print(build_slowly(folder, seconds), flush=True)
"""


def build_slowly(folder: Path, seconds: float) -> str:
    """Get a plan from a cache; building it takes `seconds` and appends a line to `folder`/built."""
    source = plans.PlanSource("slow", "0" * 64, "0" * 64, "fp32")
    target = plans.PlanTarget("tensorrt", "10.3.0", "Orin", "8.7")

    def build() -> tuple[plans.Plan, Any]:
        with (folder / "built").open("a") as file:
            file.write("once\n")
        time.sleep(seconds)
        graph = tiny.network()
        manifest = plans.PlanManifest(
            source, target, {}, {}, {}, seconds, None, plans.sha256(b"plan"), plans.graph_sha256(graph)
        )
        return plans.Plan(b"plan", manifest), graph

    said: list[str] = []
    loaded = PlanCache(folder).get_or_build(source, target, build, bytes.decode, said.append)
    return f"{loaded}; {' '.join(said)}"


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, "-c", _BUILDER, str(folder), str(seconds)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": f"{here.parents[1]}{os.pathsep}{here}"},
    )  # fmt: skip


@pytest.mark.slow
def test_processes_that_start_together_build_one_plan(tmp_path: Path) -> None:
    processes = [start(tmp_path, 1.0) for _ in range(3)]
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert (tmp_path / "built").read_text() == "once\n"
    assert all(answer.startswith("plan; ") for answer in answers)
    assert sum("another process builds" in answer for answer in answers) == 2


def test_a_killed_builder_leaves_no_lock_behind(tmp_path: Path) -> None:
    killed = start(tmp_path, 60.0)
    while not (tmp_path / "built").exists():
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert build_slowly(tmp_path, 0.0).startswith("plan; building a plan of slow")
