"""Warm start: an ONNX file restores the network it was exported from, also with other classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train' (pip install seg_perception[train])")

from support.tiny_training import SILENT, write_plan, write_squares  # noqa: E402

from seg_perception.cli.__main__ import main  # noqa: E402
from seg_perception.errors import SegPerceptionError  # noqa: E402
from seg_perception.model.card import ModelCard, file_sha256  # noqa: E402
from seg_perception.training.network.architecture import SegmentationNetwork  # noqa: E402
from seg_perception.training.network.spec import NetworkSpec  # noqa: E402
from seg_perception.training.network.warm_start import load_warm_start, transfer_weights, unfold_batch_norms  # noqa: E402
from seg_perception.training.plan import load_plan  # noqa: E402
from seg_perception.training.train import export, train  # noqa: E402
from seg_perception.utils.package_files import find  # noqa: E402

TINY = NetworkSpec(2, (8, 8, 8, 16), (1,), (2,))
# Bright stays, Dark goes, Grey is new; and the order is another one.
OTHER_CLASSES = (
    ("{Dark: [0, 0, 0], Bright: [255, 255, 255]}", "{Grey: [9, 9, 9], Bright: [255, 255, 255]}"),
    ("0: Dark", "0: Grey"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training set, run/checkpoint.pt, and the exported run/toy.onnx."""
    folder = write_squares(tmp_path_factory.mktemp("trained"))
    often = ("1: Bright}}}\nval", "1: Bright}, share: 10}}\nval")
    plan = load_plan(write_plan(folder, often, ("0.003", "0.01")))
    export(train(plan, folder / "run", **SILENT), plan, "toy")
    return folder


def _onnx_logits(path: Path, x: torch.Tensor) -> np.ndarray:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(None, {"image": x.numpy()})[0]


def _logits(network: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return network(x).numpy()


def test_the_shipped_onnx_file_restores_the_network_it_was_exported_from() -> None:
    path = find("models/urban.onnx")
    card = ModelCard.load(path.with_suffix(".yaml"))
    start = load_warm_start(path, NetworkSpec(5))
    assert start.folded and start.classes == card.classes
    x = torch.randn(2, 3, card.height, card.width, generator=torch.Generator().manual_seed(0))
    expected = _onnx_logits(path, x[:1])
    assert expected.std() > 0.5
    np.testing.assert_allclose(_logits(start.network, x[:1]), expected, atol=2e-3)
    unfold_batch_norms(start.network, [x])
    np.testing.assert_allclose(_logits(start.network, x[:1]), expected, atol=2e-3)
    # Training starts from the same function: on the measured images, batch statistics change nothing.
    frozen = _logits(start.network, x)
    start.network.train().classifier[0].eval()
    np.testing.assert_allclose(_logits(start.network, x), frozen, atol=2e-2)


def test_unfolding_pools_its_statistics_over_batches() -> None:
    torch.manual_seed(1)
    norm = torch.nn.BatchNorm2d(3).eval()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 5 + 2 * torch.randn(6, 3, 4, 4)
    before = _logits(norm, x)
    unfold_batch_norms(norm, [x[:2], x[2:]])
    np.testing.assert_allclose(_logits(norm, x), before, atol=1e-5)
    np.testing.assert_allclose(norm.running_mean, x.mean((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(norm.running_var, x.var((0, 2, 3), unbiased=False), rtol=1e-5)


def test_onnx_file_and_checkpoint_restore_the_same_function(trained: Path) -> None:
    x = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    exported = load_warm_start(trained / "run" / "toy.onnx", TINY)
    stored = load_warm_start(trained / "run" / "checkpoint.pt", TINY)
    assert (exported.folded, stored.folded) == (True, False)
    assert exported.classes == stored.classes == ("Dark", "Bright")
    np.testing.assert_allclose(_logits(exported.network, x), _logits(stored.network, x), atol=1e-4)


def test_classes_of_the_same_name_keep_their_logits_and_new_ones_are_random(trained: Path) -> None:
    start = load_warm_start(trained / "run" / "checkpoint.pt", TINY)
    torch.manual_seed(5)
    network = SegmentationNetwork(replace(TINY, classes=3)).eval()
    fresh = network.classifier[1].weight.detach().clone()
    transfer_weights(start, network, ("Mud", "Bright", "Gravel"))
    x = torch.randn(1, 3, 48, 64)
    logits = _logits(network, x)
    np.testing.assert_allclose(logits[:, 1], _logits(start.network, x)[:, 1], atol=1e-5)
    assert torch.equal(network.classifier[1].weight[[0, 2]], fresh[[0, 2]])


@pytest.mark.parametrize("file", ["toy.onnx", "checkpoint.pt"])
def test_fine_tuning_to_other_classes_from_the_command_line(
    trained: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # At this rate nothing is learnt, so the result is the start.
    still = ("learning_rate: 0.003", "learning_rate: 1e-7, freeze_batch_norm: true")
    path = write_plan(trained, *OTHER_CLASSES, still, name="other")
    out = trained / f"tuned from {file}"
    assert main(["train", str(path), "--out", str(out), "--start-from", str(trained / "run" / file)]) == 0
    printed = capsys.readouterr()
    assert "knows 1 of 2 classes; new: Grey; dropped: Dark" in printed.out + printed.err
    assert ModelCard.load(out / "other.yaml").classes == ("Grey", "Bright")
    x = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    before = _onnx_logits(trained / "run" / "toy.onnx", x)
    tuned = _onnx_logits(out / "other.onnx", x)
    np.testing.assert_allclose(tuned[:, 1], before[:, 1], atol=1e-3)
    assert np.abs(tuned[:, 0] - before[:, 0]).max() > 0.1


def test_a_class_that_only_the_weights_know_is_kept_and_reported(trained: Path) -> None:
    change = ("values: {0: Dark, 1: Bright}", "values: {0: ignore, 1: Bright}")
    plan = load_plan(write_plan(trained, change, name="known"))
    printed: list[str] = []
    train(plan, trained / "known", start_from=trained / "run" / "toy.onnx", report=printed.append)
    assert "Dark is not in the training data: the network will forget it little by little" in printed


def _quantise(model: onnx.ModelProto) -> None:
    """Make a kernel the output of another node, as in int8 networks."""
    layer = next(node for node in model.graph.node if node.op_type == "Conv")
    node = onnx.helper.make_node("Identity", [layer.input[1]], ["computed"])
    model.graph.node.insert(0, node)
    layer.input[1] = "computed"


@pytest.mark.parametrize(
    ("change", "spec", "sentence"),
    [
        (lambda model: None, NetworkSpec(2), "of the shape that the plan's 'network' describes"),
        (_quantise, TINY, "is not an fp32 network of the shape"),
    ],
)
def test_an_onnx_file_of_another_network_is_one_sentence(
    trained: Path, tmp_path: Path, change, spec: NetworkSpec, sentence: str
) -> None:
    model = onnx.load(trained / "run" / "toy.onnx")
    change(model)
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    card = ModelCard.load(trained / "run" / "toy.yaml")
    replace(card, sha256=file_sha256(path)).write(path.with_suffix(".yaml"))
    with pytest.raises(SegPerceptionError, match=sentence):
        load_warm_start(path, spec)


def test_a_network_with_another_normalisation_is_refused(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "toy.onnx"
    path.write_bytes((trained / "run" / "toy.onnx").read_bytes())
    card = ModelCard.load(trained / "run" / "toy.yaml")
    replace(card, channel_order="bgr").write(path.with_suffix(".yaml"))
    with pytest.raises(SegPerceptionError, match="another order or normalisation"):
        load_warm_start(path, TINY)


def test_a_checkpoint_of_another_network_is_one_sentence(trained: Path) -> None:
    with pytest.raises(SegPerceptionError, match="was trained with another 'network'"):
        load_warm_start(trained / "run" / "checkpoint.pt", NetworkSpec(2))
