from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import tiny_networks as tiny

from seg_perception.errors import ConfigError, ModelError, SegPerceptionError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import ModelCard, file_sha256

SPEC = GraphSpec(sample_points=3)
SAMPLE_POINTS = np.zeros((1, 3, 2), np.float32)
COSTS = np.vstack([1 - np.eye(5), np.arange(5)]).astype(np.float32)
IMAGE = np.full((1, 48, 64, 3), 100, np.uint8)


def refusal(folder: Path, model: onnx.ModelProto, card: ModelCard | None = None, spec: GraphSpec = SPEC) -> str:
    """The error message with which a model is refused before the first image."""
    path = tiny.save(folder, model, card or tiny.card())
    with pytest.raises(ModelError) as caught:
        open_engine(path, spec)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    return message


def test_an_engine_gives_its_outputs_in_the_promised_shapes(tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), SPEC)
    output = engine.run(IMAGE, COSTS, SAMPLE_POINTS)
    for image in (output.labels, output.confidence, output.expected_cost):
        assert image.dtype == np.uint8 and image.shape == (1, 48, 64)
    assert output.sample_probabilities.dtype == np.float32 and output.sample_probabilities.shape == (1, 3, 5)
    assert output.logits is None
    assert engine.card.classes == tiny.card().classes
    assert engine.spec == SPEC


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.network(), tiny.card())
    first, second = (open_engine(path, SPEC).run(IMAGE, COSTS, SAMPLE_POINTS) for _ in range(2))
    for name in ("labels", "confidence", "expected_cost", "sample_probabilities"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_the_card_may_lie_in_another_folder(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.network(), tiny.card())
    card = path.with_suffix(".yaml").rename(tmp_path / "other.yaml")
    assert open_engine(path, SPEC, card=card).card.name == "tiny"


def test_the_network_alone_can_be_timed_before_and_between_runs(tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), SPEC, threads=1)
    times = engine.time_network(3)
    engine.run(IMAGE, COSTS, SAMPLE_POINTS)
    times += engine.time_network()
    assert len(times) == 4
    assert all(0 < time < 10_000 for time in times)


def test_an_engine_describes_itself_in_one_line(tmp_path: Path) -> None:
    description = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), SPEC).describe()
    for word in ("tiny", "64x48", "5 classes", "1/4", "ONNX Runtime"):
        assert word in description
    assert "\n" not in description


def test_a_closed_engine_raises_an_error(tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), SPEC)
    engine.close()
    with pytest.raises(ModelError, match="'tiny' is closed"):
        engine.run(IMAGE, COSTS, SAMPLE_POINTS)
    with pytest.raises(ModelError, match="'tiny' is closed"):
        engine.time_network()


@pytest.mark.parametrize(
    ("images", "costs", "sample_points", "sentence"),
    [
        (IMAGE[:, :-1], COSTS, SAMPLE_POINTS, r"images as uint8 \[1, 48, 64, 3\], but got uint8 \[1, 47, 64, 3\]"),
        (IMAGE.astype(np.float32), COSTS, SAMPLE_POINTS, "images as uint8 .* but got float32"),
        (IMAGE, COSTS[:-1], SAMPLE_POINTS, r"costs as float32 \[6, 5\], but got float32 \[5, 5\]"),
        (IMAGE, COSTS, SAMPLE_POINTS[:, :2], r"sample_points as float32 \[1, 3, 2\], but got float32 \[1, 2, 2\]"),
        (IMAGE, COSTS, SAMPLE_POINTS + np.nan, "must be finite"),
        (IMAGE, COSTS + np.inf, SAMPLE_POINTS, "must be finite"),
    ],
)
def test_inputs_of_wrong_shape_type_or_value_are_refused(
    tmp_path: Path,
    images: np.ndarray,
    costs: np.ndarray,
    sample_points: np.ndarray,
    sentence: str,
) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), SPEC)
    with pytest.raises(ModelError, match=sentence):
        engine.run(images, costs, sample_points)


def test_an_image_with_infinite_scores_is_an_error_and_never_free_space(tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.fragile_network(), tiny.fragile_card()), SPEC)
    costs, image = np.zeros((3, 2), np.float32), np.full((1, 4, 4, 3), 99, np.uint8)
    engine.run(image, costs, SAMPLE_POINTS)
    image[0, 2, 2] = 255
    with pytest.raises(ModelError, match="not finite for this image"):
        engine.run(image, costs, SAMPLE_POINTS)


def softmax() -> list[onnx.NodeProto]:
    return [helper.make_node("Softmax", ["scores"], ["logits"], axis=1)]


def labels_only() -> list[onnx.NodeProto]:
    return [helper.make_node("ArgMax", ["scores"], ["logits"], axis=1, keepdims=0)]


def log_of_negative() -> list[onnx.NodeProto]:
    return [helper.make_node("Log", ["scores"], ["logits"])]


def fixed_reshape() -> onnx.ModelProto:
    """Free axes, but a reshape inside that fits 32x32 images only."""
    model = tiny.network(width="W", height="H", tail=[helper.make_node("Reshape", ["scores", "shape"], ["logits"])])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 5, 8, 8], np.int64), "shape"))
    return model


def second_input() -> onnx.ModelProto:
    model = tiny.network(tail=[helper.make_node("Add", ["scores", "more"], ["logits"])])
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return model


def second_output() -> onnx.ModelProto:
    model = tiny.network()
    model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))
    return model


def image_of_three_axes() -> onnx.ModelProto:
    model = tiny.network()
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    return model


def unknown_operator() -> onnx.ModelProto:
    return tiny.network(tail=[helper.make_node("Frobnicate", ["scores"], ["logits"])])


def uneven() -> list[onnx.NodeProto]:
    return [helper.make_node("MaxPool", ["scores"], ["logits"], kernel_shape=[1, 2], strides=[1, 2])]


def labels_as_floats() -> list[onnx.NodeProto]:
    argmax = helper.make_node("ArgMax", ["scores"], ["labels"], axis=1)
    return [argmax, helper.make_node("Cast", ["labels"], ["logits"], to=TensorProto.FLOAT)]


def sigmoid() -> list[onnx.NodeProto]:
    return [helper.make_node("Sigmoid", ["scores"], ["logits"])]


def one_score_per_image() -> list[onnx.NodeProto]:
    return [helper.make_node("GlobalAveragePool", ["scores"], ["logits"])]


def without_batch_axis() -> list[onnx.NodeProto]:
    return [helper.make_node("Squeeze", ["scores"], ["logits"])]


def grey_image() -> onnx.ModelProto:
    model = tiny.network()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    return model


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "labels instead of logits": (
        lambda: tiny.network(tail=labels_only(), output_type=TensorProto.INT64),
        "gives labels .*how sure the network was is lost; set 'output_name: scores'",
    ),
    "labels that look like scores": (lambda: tiny.network(tail=labels_as_floats()), "gives labels .*is lost"),
    "a sigmoid for each class": (
        lambda: tiny.network(tail=sigmoid()),
        "ends in a sigmoid.*set 'output_name: scores' and 'output: logits'",
    ),
    "a classifier": (lambda: tiny.network(tail=one_score_per_image()), r"\[1, 5, 1, 1\] .*no image of the same"),
    "no batch axis": (lambda: tiny.network(tail=without_batch_axis()), r"\[5, 12, 16\].*must give \[1, classes,"),
    "uint8 input": (lambda: tiny.network(image_type=TensorProto.UINT8), "'image' is uint8, but must be float32"),
    "grey image": (grey_image, "has 1 channels, but must have three"),
    "three axes": (image_of_three_axes, "has 3 axes, but must have four"),
    "another size": (lambda: tiny.network(width=32), "takes images of 32x48 pixels.*card says 64x48"),
    "another width": (lambda: tiny.network(width=32, height="H"), "takes images of 32xany pixels.*card says 64x48"),
    "fixed to two images": (lambda: tiny.network(batch=2), "fixed to 2 images per run, but here it must take 1 image;"),
    "more classes": (lambda: tiny.network(classes=6), "gives 6 scores at each pixel.*model card names 5 classes"),
    "one class": (lambda: tiny.network(classes=1), "gives 1 scores at each pixel.*model card names 5 classes"),
    "probabilities": (lambda: tiny.network(tail=softmax()), "gives probabilities.*set 'output: probabilities'"),
    "not finite": (lambda: tiny.network(tail=log_of_negative()), "infinite or undefined.*weights are damaged"),
    "two inputs": (second_input, r"has 2 inputs \(image, more\).*the image only"),
    "two outputs": (second_output, r"has 2 outputs \(logits, scores\).*model card, as in 'output_name: logits'"),
    "axes that only look free": (fixed_reshape, "does not run at 64x48.*export it at the model card's input size"),
    "unknown operator": (unknown_operator, "does not run at 64x48.*operators that ONNX Runtime knows"),
    "different strides": (lambda: tiny.network(tail=uneven()), r"\[1, 5, 12, 8\] for a 64x48 image.*same proportions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_model_is_refused_in_one_sentence_before_the_first_image(tmp_path: Path, case: str) -> None:
    make, sentence = REFUSED[case]
    message = refusal(tmp_path, make())
    assert re.search(sentence, message), message


def test_logits_that_the_card_calls_probabilities_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, tiny.network(), tiny.card(output="probabilities"))
    assert "no probabilities that sum to 1" in message and "set 'output: logits'" in message


def test_a_network_for_single_images_is_refused_for_batches(tmp_path: Path) -> None:
    message = refusal(tmp_path, tiny.network(batch=1), spec=GraphSpec(sample_points=3, batch=2))
    assert "fixed to 1 image per run, but here it must take 2 images" in message


def test_a_batch_size_that_is_fixed_inside_the_network_is_detected_by_the_first_run(tmp_path: Path) -> None:
    first = [helper.make_node("Slice", ["scores", "from", "to"], ["logits"])]
    network = tiny.network(batch="N", tail=first)
    for name, value in (("from", 0), ("to", 1)):
        network.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    message = refusal(tmp_path, network, spec=GraphSpec(sample_points=3, batch=2))
    assert "[1, 5, 12, 16] for 2 image(s)" in message and "free batch axis" in message


def test_a_wrong_output_name_in_the_card_gets_the_nearest_name_as_a_hint(tmp_path: Path) -> None:
    message = refusal(tmp_path, second_output(), tiny.card(output_name="logit"))
    assert "no value 'logit' (did you mean 'logits'?)" in message and "logits, scores" in message


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not an ONNX model"),
        (bytes(range(256)) * 40, "is not an ONNX model"),
        (tiny.network().SerializeToString()[:-100], "is not an ONNX model, or is cut short"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "holds no operators"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(content)
    replace(tiny.card(), sha256=file_sha256(path)).write(path.with_suffix(".yaml"))
    with pytest.raises(ModelError, match=sentence):
        open_engine(path, SPEC)


def test_bytes_that_parse_but_make_no_sense_are_reported_as_damaged(tmp_path: Path) -> None:
    content = tiny.network().SerializeToString()
    # The kernel's name, as the convolution refers to it, is no text any more.
    path = tmp_path / "tiny.onnx"
    path.write_bytes(content.replace(b"kernel", b"\xff\xfe\xfdnel"))
    replace(tiny.card(), sha256=file_sha256(path)).write(path.with_suffix(".yaml"))
    with pytest.raises(ModelError, match=r"is damaged|does not run"):
        open_engine(path, SPEC)


def test_a_missing_model_a_missing_card_and_a_card_of_another_model_have_different_messages(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.network(), tiny.card())
    with pytest.raises(ModelError, match=r"gone\.onnx: no such model file"):
        open_engine(tmp_path / "gone.onnx", SPEC)
    with pytest.raises(ModelError, match=r"its model card .*gone\.yaml is missing"):
        open_engine(path, SPEC, card=tmp_path / "gone.yaml")
    tiny.card(sha256="f" * 64).write(path.with_suffix(".yaml"))
    with pytest.raises(ModelError, match=r"its sha256 is .*re-create the card"):
        open_engine(path, SPEC)


def test_a_mistake_in_the_card_names_the_card(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.network(), tiny.card())
    path.with_suffix(".yaml").write_text("name: tiny\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tiny\.yaml, key"):
        open_engine(path, SPEC)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegPerceptionError, match="no such model file"):
        open_engine(tmp_path, SPEC)


@pytest.mark.slow
def test_a_refused_model_prints_one_sentence_only(tmp_path: Path) -> None:
    # ONNX Runtime writes errors of its own straight to the process's output; a fresh process shows what a user sees.
    path = tiny.save(tmp_path, unknown_operator(), tiny.card())
    program = (
        "import sys\n"
        "from seg_perception.errors import ModelError\n"
        "from seg_perception.inference.backends import open_engine\n"
        "from seg_perception.inference.onnx.graph import GraphSpec\n"
        "try: open_engine(sys.argv[1], GraphSpec(sample_points=1))\n"
        "except ModelError as error: print(error, file=sys.stderr)\n"
    )
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, cwd=root)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith(str(path)), result.stderr
