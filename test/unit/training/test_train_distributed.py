"""Distributed training: two processes that share every batch give the result of one process (PyTorch's gloo)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from support.tiny_training import SILENT, write_plan, write_squares  # noqa: E402

from seg_perception.errors import ConfigError  # noqa: E402
from seg_perception.training.distributed import DistributedContext  # noqa: E402
from seg_perception.training.plan import load_plan  # noqa: E402
from seg_perception.training.train import train  # noqa: E402

if not torch.distributed.is_available():
    pytest.skip("this PyTorch was built without torch.distributed", allow_module_level=True)

# Switched off: what depends on how a batch is shared (batch statistics on the CPU, dropout, rounding). The squares
# are of one size and stay whole, so both halves of a batch weigh the same.
EXACT = (
    ("aspp_rates: [2]", "aspp_rates: [2], dropout: 0.0"),
    (
        "seed: 3",
        "seed: 3, amp: false, freeze_batch_norm: true, augmentation: {scale: [1, 1], rotation: 0, class_mix: 0.0}",
    ),
    ("{cross_entropy: 1.0, dice: 0.5}", "{cross_entropy: 1.0}"),
)


def _torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    command += ["--master-port", str(port), "-m", "seg_perception.cli", "train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_squares(tmp_path)


def test_two_processes_take_the_steps_of_one_and_write_one_run(toy: Path) -> None:
    path = write_plan(toy, *EXACT)
    done = _torchrun(str(path), "--out", str(toy / "two"))
    assert done.returncode == 0, done.stderr
    train(load_plan(path), toy / "one", **SILENT)
    one, two = (torch.load(toy / name / "checkpoint.pt", weights_only=True) for name in ("one", "two"))
    assert one["step"] == two["step"] == 2
    for name, value in one["network"].items():
        torch.testing.assert_close(two["network"][name], value, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: n + text)
    for index, moments in one["optimiser"]["state"].items():
        # The running mean of the gradients: one process's half of a batch would give another one.
        torch.testing.assert_close(
            two["optimiser"]["state"][index]["exp_avg"], moments["exp_avg"], rtol=1e-3, atol=1e-6
        )
    lines = [json.loads((toy / name / "log.jsonl").read_text(encoding="utf-8")) for name in ("one", "two")]
    assert lines[0]["loss"] == pytest.approx(lines[1]["loss"], rel=1e-4)
    assert lines[0]["iou"] == pytest.approx(lines[1]["iou"], rel=1e-3)
    assert sorted(file.name for file in (toy / "two").iterdir() if file.is_file()) == [
        "checkpoint.pt",
        "log.jsonl",
        "plan.onnx",
        "plan.yaml",
    ]


def test_a_batch_that_cannot_be_shared_evenly_is_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match="a batch of 4 cannot be shared evenly by 3 processes"):
        train(load_plan(write_plan(toy)), toy / "run", context=DistributedContext(0, 3, torch.device("cpu")), **SILENT)


def test_unusable_data_are_reported_by_one_process_only(toy: Path) -> None:
    (toy / "labels" / "3.png").write_bytes(b"no image")
    done = _torchrun(str(write_plan(toy)), "--out", str(toy / "two"))
    assert done.returncode != 0
    printed = [line for line in done.stderr.splitlines() if line.startswith("seg-perception: ")]
    assert len(printed) == 1 and "cannot be used" in printed[0]
