"""Model import: networks as PyTorch exports them, in all layouts, against a plain computation on their logits."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support import tiny_networks as tiny
from support.plain_inference import interpolation, plain, random_costs, run, smooth_images

from seg_perception.errors import ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import EngineOutput
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.precision.network_part import extract_network
from seg_perception.inference.prepared_graphs import prepare_graphs
from seg_perception.model.card import ModelCard, model_sha256

torch = pytest.importorskip("torch", reason="needs the extra 'train' (pip install seg_perception[train])")

Module = torch.nn.Module
Tensor = torch.Tensor


def aligned(short: int, long: int) -> NDArray[np.float64]:
    """As `interpolation`, but the outer pixel centres of both sizes meet."""
    centres = np.linspace(0, short - 1, long)
    return np.stack([np.interp(centres, np.arange(short), row) for row in np.eye(short)])


def network(classes: int = 5) -> Module:
    """Two convolutions that halve the image, rounding up, and a classifier; random, but the same every time."""
    torch.manual_seed(classes)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, classes, 3, stride=2, padding=1),
    )
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.mul_(4)
    return layers.eval()


class Around(Module):
    """A network with something before and after it."""

    def __init__(
        self, inner: Module, after: Callable[..., object], before: Callable[..., Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.inner, self.after, self.before = inner, after, before

    def forward(self, image: Tensor) -> object:
        return self.after(self.inner(self.before(image)))


def exported(module: Module, *shape: int, opset: int = 17, half: bool = False, **options: object) -> onnx.ModelProto:
    """Export with PyTorch's own exporter."""
    file = io.BytesIO()
    image = torch.zeros(shape or (1, 3, 48, 64), dtype=torch.float16 if half else torch.float32)
    torch.onnx.export(module, (image,), file, opset_version=opset, dynamo=False, **options)
    return onnx.load_from_string(file.getvalue())


def all_free(module: Module, *shape: int) -> onnx.ModelProto:
    axes = {axis: f"axis_{axis}" for axis, length in enumerate(shape) if length != 3}
    return exported(module, *shape, input_names=["image"], output_names=["logits"], dynamic_axes={"image": axes})


def to_last(planes: Tensor) -> Tensor:
    return planes.permute(0, 2, 3, 1)


def to_first(planes: Tensor) -> Tensor:
    return planes.permute(0, 3, 1, 2)


def names(*outputs: str) -> dict[str, list[str]]:
    return {"output_names": list(outputs)}


STANDARD = {"input_names": ["image"], "output_names": ["logits"]}
PROBABILITIES = {"output": "probabilities"}
LAYOUTS: dict[str, tuple[Callable[[Module], onnx.ModelProto], dict[str, object]]] = {
    "two outputs, the first named": (
        lambda net: exported(Around(net, lambda x: (x, -x)), **names("out", "aux")),
        {"output_name": "out"},
    ),
    "two outputs, the second named": (
        lambda net: exported(Around(net, lambda x: (x.argmax(1), x)), **names("labels", "scores")),
        {"output_name": "scores"},
    ),
    "free axes": (lambda net: all_free(net, 1, 3, 32, 32), {}),
    "channels last": (lambda net: exported(Around(net, to_last, to_first), 1, 48, 64, 3), {}),
    "channels last, free axes": (lambda net: all_free(Around(net, to_last, to_first), 1, 32, 32, 3), {}),
    "channels last in the output only": (lambda net: exported(Around(net, to_last)), {}),
    "channels last in the input only": (lambda net: exported(Around(net, lambda x: x, to_first), 1, 48, 64, 3), {}),
    "softmax": (lambda net: exported(Around(net, lambda x: x.softmax(1))), PROBABILITIES),
    "softmax, channels last": (lambda net: exported(Around(net, lambda x: to_last(x.softmax(1)))), PROBABILITIES),
    "log-softmax": (lambda net: exported(Around(net, lambda x: x.log_softmax(1))), {}),
}


def compare(output: EngineOutput, standard: onnx.ModelProto, card: ModelCard, **options: object) -> None:
    """The engine's decisions and costs for `images()` against the plain ones on the logits of `standard`."""
    expected = plain(standard, replace(card, output="logits"), images(card)[0], costs(card), **options)
    assert (output.labels[0] == expected.labels).mean() >= 0.999
    assert np.abs(output.expected_cost[0] - expected.expected_cost).max() <= 1
    assert np.abs(output.confidence[0] - expected.confidence).max() <= 1
    # The comparison means something only where several classes and costs occur.
    assert len(np.unique(expected.labels)) > 1 and np.ptp(expected.expected_cost) > 50


def images(card: ModelCard) -> NDArray[np.uint8]:
    return smooth_images(1, card.width, card.height, 3)


def costs(card: ModelCard) -> NDArray[np.float32]:
    table = random_costs(len(card.classes), 0)
    table[-1] = np.linspace(0, 254, len(card.classes))
    return table


def run_on_images(folder: Path, model: onnx.ModelProto, card: ModelCard) -> EngineOutput:
    return run(folder, model, card, images(card), costs(card))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_card_is_enough_for_every_layout(tmp_path: Path, layout: str) -> None:
    make, changes = LAYOUTS[layout]
    card = tiny.card(**changes)
    compare(run_on_images(tmp_path, make(network()), card), exported(network(), **STANDARD), card)


@pytest.mark.parametrize("end", ["argmax", "sigmoid"])
def test_the_error_for_labels_or_sigmoids_names_the_value_with_the_scores(tmp_path: Path, end: str) -> None:
    after = {"argmax": lambda x: x.argmax(1).to(torch.uint8), "sigmoid": torch.sigmoid}[end]
    model = exported(Around(network(), after))
    with pytest.raises(ModelError) as caught:
        open_engine(tiny.save(tmp_path, model, tiny.card()), GraphSpec(sample_points=1))
    named = re.search("output_name: ([^']+)'", str(caught.value))
    assert named is not None
    card = tiny.card(output_name=named[1])
    compare(run_on_images(tmp_path, model, card), exported(network(), **STANDARD), card)


@pytest.mark.parametrize(
    ("end", "output"), [(lambda x: x, "logits"), (torch.sigmoid, "probabilities"), (to_last, "logits")]
)
def test_one_score_for_each_pixel_is_enough_for_two_classes(
    tmp_path: Path, end: Callable[[Tensor], Tensor], output: str
) -> None:
    card = tiny.card(classes=2, output=output)
    both = exported(Around(network(1), lambda x: torch.cat([torch.zeros_like(x), x], 1)), **STANDARD)
    compare(run_on_images(tmp_path, exported(Around(network(1), end)), card), both, card)


def test_a_sigmoid_that_the_card_calls_logits_is_refused(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, exported(Around(network(1), torch.sigmoid)), tiny.card(classes=2))
    with pytest.raises(ModelError, match=r"gives probabilities .*set 'output: probabilities'"):
        open_engine(path, GraphSpec(sample_points=1))


def test_a_float16_network_decides_nearly_like_the_same_weights_in_float32(tmp_path: Path) -> None:
    card = tiny.card()
    output = run_on_images(tmp_path, exported(network().half(), half=True), card)
    expected = plain(exported(network().half().float(), **STANDARD), card, images(card)[0], costs(card))
    assert (output.labels[0] == expected.labels).mean() >= 0.99
    assert np.abs(output.expected_cost[0] - expected.expected_cost).mean() <= 0.5
    fused = prepare_graphs(tmp_path / "tiny.onnx", card, GraphSpec(sample_points=1)).fused
    with pytest.raises(ModelError, match="no convolution with constant float32 weights"):
        convert_precision(fused, "int8", [images(card)])


@pytest.mark.parametrize(
    ("width", "height", "between"),
    [
        (70, 50, interpolation),  # a quarter is 17.5 by 12.5: 18 by 13
        (64, 46, interpolation),  # whole one way only
        (65, 49, aligned),  # 17 by 13: one more than a quarter of one less, as networks with aligned corners have it
    ],
)
def test_logits_that_are_not_a_whole_fraction_of_the_image_are_resized(
    tmp_path: Path, width: int, height: int, between: Callable[[int, int], NDArray[np.float64]]
) -> None:
    card = tiny.card(width=width, height=height)
    standard = exported(network(), 1, 3, height, width, **STANDARD)
    compare(run_on_images(tmp_path, standard, card), standard, card, between=between)


@pytest.mark.parametrize(
    ("opset", "mode"), [(9, "nearest"), (9, "bilinear"), (10, "nearest"), (10, "bilinear"), (11, "bilinear")]
)
def test_operators_of_old_opsets_keep_their_meaning(tmp_path: Path, opset: int, mode: str) -> None:
    # Upsample became Resize, Resize got its choice of coordinates, padding and limits became inputs. What the old file
    # means is asked of ONNX Runtime, which still knows it.
    def after(x: Tensor) -> Tensor:
        x = torch.nn.functional.interpolate(x, scale_factor=2, mode=mode)
        return torch.nn.functional.pad(x[:, :, 1:], (0, 0, 1, 0)) + x.mean(1, keepdim=True).clamp(-1, 1)

    model, card = exported(Around(network(), after), opset=opset, **STANDARD), tiny.card()
    compare(run_on_images(tmp_path, model, card), model, card)


def test_an_ir_version_that_the_runtime_does_not_know_is_lowered(tmp_path: Path) -> None:
    model, card = exported(network(), **STANDARD), tiny.card()
    model.ir_version = 99
    with pytest.raises(Exception, match="IR version"):
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compare(run_on_images(tmp_path, model, card), exported(network(), **STANDARD), card)


def test_weights_listed_as_inputs_are_accepted(tmp_path: Path) -> None:
    model, card = exported(network(), opset=9, **STANDARD), tiny.card()
    model.ir_version = 3
    for item in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(item.name, item.data_type, list(item.dims)))
    compare(run_on_images(tmp_path, model, card), exported(network(), **STANDARD), card)


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    model, card = exported(network(), **STANDARD), tiny.card()
    twice = helper.make_function(
        "mine", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    model.functions.append(twice)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.node[-1].output[0] = "half"
    model.graph.node.append(helper.make_node("Twice", ["half"], ["logits"], domain="mine"))
    output = run_on_images(tmp_path, model, card)
    compare(output, exported(Around(network(), lambda x: 2 * x), **STANDARD), card)
    assert {node.domain for node in read_network(tmp_path / "tiny.onnx", card, batch=1).graph.node} == {""}


def test_nodes_that_the_selected_output_does_not_need_are_removed(tmp_path: Path) -> None:
    def two_heads(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.nn.functional.conv2d(x, torch.ones(4, 5, 1, 1))

    model, card = exported(Around(network(), two_heads), **names("out", "aux")), tiny.card(output_name="out")
    model.graph.node.append(helper.make_node("Add", ["aux", "another image"], ["more"]))
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))
    model.graph.input.append(helper.make_tensor_value_info("another image", TensorProto.FLOAT, [1]))
    compare(run_on_images(tmp_path, model, card), exported(network(), **STANDARD), card)
    kept = read_network(tmp_path / "tiny.onnx", card, batch=1).graph
    assert len(kept.initializer) == 4  # kernels and biases of two convolutions
    assert [node.op_type for node in kept.node] == ["Conv", "Relu", "Conv"]


def test_values_that_a_branch_reads_from_outside_are_kept(tmp_path: Path) -> None:
    model, card = exported(network(), input_names=["image"], output_names=["scores"]), tiny.card()

    def branch(operator: str) -> onnx.GraphProto:
        node = helper.make_node(operator, ["scores"], [operator])
        return helper.make_graph(
            [node], operator, [], [helper.make_tensor_value_info(operator, TensorProto.FLOAT, None)]
        )

    always = helper.make_node("Constant", [], ["always"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
    choice = helper.make_node("If", ["always"], ["logits"], then_branch=branch("Identity"), else_branch=branch("Neg"))
    model.graph.node.extend([always, choice])
    model.graph.output[0].name = "logits"
    compare(run_on_images(tmp_path, model, card), exported(network(), **STANDARD), card)


def test_weights_in_a_second_file_are_read_from_it(tmp_path: Path) -> None:
    card, path, standard = tiny.card(), tmp_path / "tiny.onnx", exported(network(), **STANDARD)
    onnx.save(standard, path, save_as_external_data=True, location="tiny.onnx.data", size_threshold=0)
    replace(card, sha256=model_sha256(path)).write(path.with_suffix(".yaml"))
    output = open_engine(path, GraphSpec(sample_points=1)).run(
        images(card), costs(card), np.zeros((1, 1, 2), np.float32)
    )
    compare(output, exported(network(), **STANDARD), card)


def test_an_adapted_network_can_be_quantised_and_saved(tmp_path: Path) -> None:
    card = tiny.card(width=70, height=50)
    model = exported(Around(network(), to_last, to_first), 1, 50, 70, 3)
    output = run_on_images(tmp_path, model, card)
    fused = prepare_graphs(tmp_path / "tiny.onnx", card, GraphSpec(sample_points=1)).fused
    alone = extract_network(convert_precision(fused, "int8", [images(card)], target="cpu"))
    again = run_on_images(tmp_path, alone, card)
    assert (again.labels == output.labels).mean() >= 0.97
