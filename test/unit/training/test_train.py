"""The training loop on a toy task: it learns, resumes exactly, and reports unusable data before the first step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from support.tiny_training import SILENT, write_plan, write_squares  # noqa: E402

from seg_perception.cli.__main__ import main  # noqa: E402
from seg_perception.errors import ConfigError  # noqa: E402
from seg_perception.training import training_state  # noqa: E402
from seg_perception.training.network.architecture import SegmentationNetwork, export_onnx  # noqa: E402
from seg_perception.training.network.spec import NetworkSpec  # noqa: E402
from seg_perception.training.plan import TrainingPlan, load_plan  # noqa: E402
from seg_perception.training.train import TrainingResources, train  # noqa: E402

EPOCHS_3 = ("epochs: 1", "epochs: 3")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_squares(tmp_path)


def _plan(folder: Path, *changes: tuple[str, str]) -> TrainingPlan:
    return load_plan(write_plan(folder, *changes))


def _weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    state = torch.load(checkpoint, weights_only=True)
    return {f"{part} {name}": value for part in ("network", "average") for name, value in state[part].items()}


def _assert_same_weights(one: Path, other: Path) -> None:
    a, b = _weights(one), _weights(other)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def _stop_after(steps: int):
    def progress(done: int, total: int, loss: float) -> None:
        if done == steps:
            raise KeyboardInterrupt

    return progress


def _log(run: Path) -> list[dict]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def test_a_run_learns_and_logs_its_validation(toy: Path) -> None:
    plan = _plan(
        toy, ("epochs: 1", "epochs: 4"), ("0.003", "0.01"), ("1: Bright}}}\nval", "1: Bright}, share: 8}}\nval")
    )
    train(plan, toy / "run", **SILENT)
    last = _log(toy / "run")[-1]
    assert last["epoch"] == 3
    assert last["iou"]["mean"] > 0.8
    assert set(last["iou"]) == {"Dark", "Bright", "mean"}


@pytest.mark.parametrize("stopped_after", [3, 4], ids=["from an epoch's end", "from within an epoch"])
def test_a_run_resumed_after_any_step_ends_with_the_same_weights_and_log(toy: Path, stopped_after: int) -> None:
    plan = _plan(toy, EPOCHS_3)
    whole = train(plan, toy / "whole", validate_every=2, **SILENT)
    always = TrainingResources(threads=2, checkpoint_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(plan, toy / "halves", validate_every=2, progress=_stop_after(stopped_after), resources=always, **SILENT)
    steps: list[int] = []
    halves = train(
        plan, toy / "halves", resume=True, validate_every=2, progress=lambda done, *_: steps.append(done), **SILENT
    )
    # The step at which it was stopped was not saved yet.
    assert steps[0] == stopped_after and steps[-1] == 6
    _assert_same_weights(whole, halves)
    assert _log(toy / "whole") == _log(toy / "halves")


def test_a_killed_and_resumed_run_ends_with_the_same_weights(toy: Path) -> None:
    path = write_plan(toy, ("epochs: 1", "epochs: 8"))
    command = [sys.executable, "-m", "seg_perception.cli", "train", str(path), "--out", str(toy / "killed")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = toy / "killed" / "log.jsonl"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") >= 2):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9, process.stderr.read()
    assert len(_log(toy / "killed")) < 8
    assert main(["train", str(path), "--out", str(toy / "killed"), "--resume"]) == 0
    whole = train(load_plan(path), toy / "whole", **SILENT)
    _assert_same_weights(whole, toy / "killed" / "checkpoint.pt")
    assert _log(toy / "whole") == _log(toy / "killed")
    assert (toy / "killed" / "plan.onnx").is_file()


def test_neither_threads_nor_reading_from_files_change_what_is_learnt(toy: Path) -> None:
    plan = _plan(toy, ("seed: 3", "seed: 3, augmentation: {class_mix: 0.5, cut_mix: 0.3}"))
    one = train(plan, toy / "one", resources=TrainingResources(threads=1), **SILENT)
    two = train(plan, toy / "two", resources=TrainingResources(threads=4, memory=0.0), **SILENT)
    _assert_same_weights(one, two)


def test_another_seed_gives_another_network(toy: Path) -> None:
    one = train(_plan(toy), toy / "one", **SILENT)
    two = train(_plan(toy, ("seed: 3", "seed: 4")), toy / "two", **SILENT)
    a, b = (_weights(path)["network classifier.1.weight"] for path in (one, two))
    assert not torch.equal(a, b)


def test_full_precision_is_a_setting(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_state, "_computes_in_half", lambda device: True)  # emulated where the CPU lacks it
    half = train(_plan(toy), toy / "half", **SILENT)
    full = train(_plan(toy, ("seed: 3", "seed: 3, amp: false")), toy / "full", **SILENT)
    a, b = (_weights(path)["network classifier.1.weight"] for path in (half, full))
    assert not torch.equal(a, b)
    assert torch.allclose(a, b, atol=0.02)


def test_a_cpu_that_would_emulate_bfloat16_trains_in_float32(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    default = train(_plan(toy), toy / "default", **SILENT)
    full = train(_plan(toy, ("seed: 3", "seed: 3, amp: false")), toy / "full", **SILENT)
    a, b = (_weights(path)["network classifier.1.weight"] for path in (default, full))
    assert torch.equal(a, b)


def test_frozen_batch_norms_keep_their_statistics_while_the_rest_learns(toy: Path) -> None:
    state = _weights(train(_plan(toy, ("seed: 3", "seed: 3, freeze_batch_norm: true")), toy / "run", **SILENT))
    norms = {name for name in state if name.endswith("running_mean")}
    assert norms and all(not state[name].any() for name in norms)
    assert _log(toy / "run")[0]["loss"] > 0


def test_curves_are_written_for_tensorboard(toy: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    printed: list[str] = []
    train(_plan(toy, ("epochs: 1", "epochs: 11")), toy / "run", report=printed.append)
    events = EventAccumulator(str(toy / "run" / "tensorboard")).Reload()
    assert {"loss", "learning rate", "IoU/mean", "IoU/Dark"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [20]
    assert [event.step for event in events.Scalars("IoU/mean")] == [10, 20, 22]
    assert any("tensorboard --logdir" in line for line in printed)


def test_without_tensorboard_one_line_says_so(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    printed: list[str] = []
    train(_plan(toy), toy / "run", report=printed.append)
    assert sum("pip install tensorboard" in line for line in printed) == 1
    assert len(_log(toy / "run")) == 1


def test_a_run_is_not_overwritten_by_another_one(toy: Path) -> None:
    checkpoint = train(_plan(toy), toy / "run", **SILENT)
    before = checkpoint.read_bytes()
    with pytest.raises(ConfigError, match=r"a run is there already; resume it with --resume"):
        train(_plan(toy), toy / "run", **SILENT)
    assert checkpoint.read_bytes() == before


def test_resuming_nothing_is_one_sentence(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"no checkpoint there; correct the path, or start without --resume"):
        train(_plan(toy), toy / "none", resume=True)


def test_a_damaged_checkpoint_is_one_sentence(toy: Path) -> None:
    (toy / "run").mkdir()
    (toy / "run" / "checkpoint.pt").write_bytes(b"PK not quite")
    with pytest.raises(ConfigError, match="is no checkpoint of a training run"):
        train(_plan(toy), toy / "run", resume=True)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("learning_rate: 0.003", "learning_rate: 0.004", r"learning_rate has changed since \(0.003 → 0.004\)"),
        ("Bright", "White", "classes has changed since"),
        (
            "{0: Dark, 1: Bright}}}\nval",
            "{0: Dark, 1: Bright}, leave_out: ['7']}}\nval",
            "data of toy has changed since .8 images",
        ),
    ],
)
def test_resuming_under_another_plan_names_the_difference(toy: Path, old: str, new: str, name: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(_plan(toy, EPOCHS_3), toy / "run", progress=_stop_after(3), **SILENT)
    with pytest.raises(ConfigError, match=name):
        train(_plan(toy, EPOCHS_3, (old, new)), toy / "run", resume=True, **SILENT)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("dice: 0.5", "dyce: 0.5", "is not a loss"),
        ("crop: [64, 48]", "crop: [60, 48]", "multiples of 16"),
        ("batch: 4", "batch: 0", "within 2 to 4096"),
        ("seed: 3", "sede: 3", "key 'settings.seed': is missing"),
        ("seed: 3", "seed: 3, amp: bf16", "key 'settings.amp': must be true or false"),
        ("seed: 3", "seed: 3, augmentation: {scale: [2, 1]}", r"smallest, largest\] within"),
        ("seed: 3", "seed: 3, augmentation: {class_mix: 0.7, cut_mix: 0.7}", "must not exceed 1"),
        ("seed: 3", "seed: 3, augmentation: {flip: 0.5}", "'settings.augmentation.flip': is not a known key"),
        ("dilations: [1]", "dilations: [0]", "whole numbers from 1"),
        ("dilations: [1]", "depth: 3", "'network.depth': is not a known key"),
    ],
)
def test_mistakes_in_a_plan_name_file_and_key(toy: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _plan(toy, (old, new))


def _unknown_value(toy: Path) -> None:
    label = np.zeros((48, 64), np.uint8)
    for name, value in (("2", 7), ("5", 9)):
        label[3, 4] = value
        cv2.imwrite(str(toy / "labels" / f"{name}.png"), label)


def _other_size(toy: Path) -> None:
    cv2.imwrite(str(toy / "labels" / "4.png"), np.zeros((48, 60), np.uint8))


def _no_image(toy: Path) -> None:
    (toy / "images" / "1.png").write_bytes(b"")


def _empty_class(toy: Path) -> None:
    for path in (toy / "labels").iterdir():
        cv2.imwrite(str(path), np.zeros((48, 64), np.uint8))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        # Training and validation are the same files here, so each bad one counts twice.
        (_unknown_value, r"4 of 16 images and labels cannot be used; the first: .*2\.png: holds value 7, which"),
        (_other_size, r"2 of 16 .*4\.png: is 60x48 and its image 64x48; they must agree"),
        (_no_image, r"2 of 16 .*images.1\.png: is not an image that can be decoded"),
        (_empty_class, "no training label means Bright alone, so it cannot be learnt"),
    ],
)
def test_data_that_cannot_be_used_is_found_before_the_first_step(toy: Path, damage, sentence: str) -> None:
    damage(toy)
    checked: list[int] = []
    with pytest.raises(ConfigError, match=sentence):
        train(_plan(toy), toy / "run", progress=_stop_after(1), checking=lambda done, _: checked.append(done), **SILENT)
    assert checked == list(range(1, 17))
    assert not (toy / "run").exists()


def test_a_class_that_occurs_only_in_groups_counts_as_missing(toy: Path) -> None:
    with pytest.raises(ConfigError, match="no training label means Dark or Bright alone"):
        train(_plan(toy, ("{0: Dark, 1: Bright}", "{0: [Dark, Bright], 1: ignore}")), toy / "run", **SILENT)


def test_validation_without_a_labelled_pixel_is_refused(toy: Path) -> None:
    plan = _plan(toy)
    blind = replace(plan.validation[0], table=np.full_like(plan.validation[0].table, 255))
    with pytest.raises(ConfigError, match="no pixel of the validation data is labelled"):
        train(replace(plan, validation=(blind,)), toy / "run", **SILENT)


def test_images_in_both_training_and_validation_are_reported(toy: Path) -> None:
    printed: list[str] = []
    train(_plan(toy), toy / "run", report=printed.append)
    assert any(line.startswith("8 images are both in training and validation") for line in printed)


def test_a_batch_larger_than_the_data_is_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match="fewer images than one batch of 9"):
        train(_plan(toy, ("batch: 4", "batch: 9")), toy / "run", **SILENT)


def test_the_network_has_about_a_million_parameters() -> None:
    count = sum(parameter.numel() for parameter in SegmentationNetwork(NetworkSpec(12)).parameters())
    assert 0.8e6 < count < 1.2e6


@pytest.mark.parametrize(("width", "height"), [(480, 360), (128, 96)])
def test_onnx_runtime_computes_what_torch_computes(tmp_path: Path, width: int, height: int) -> None:
    import onnxruntime

    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkSpec(5)).eval()
    path = tmp_path / "network.onnx"
    export_onnx(network, path, width, height)
    x = torch.randn(1, 3, height, width)
    with torch.no_grad():
        expected = network(x).numpy()
    got = onnxruntime.InferenceSession(str(path)).run(["logits"], {"image": x.numpy()})[0]
    assert got.shape == (1, 5, height // 4, width // 4)
    np.testing.assert_allclose(got, expected, atol=1e-3)
