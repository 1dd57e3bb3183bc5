"""Adding a class from masked images: it is found in other images, and old logits do not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support import tiny_networks as tiny
from support.masked_images import draw_masked_image

from seg_perception.cli.__main__ import main
from seg_perception.errors import ConfigError, ModelError
from seg_perception.few_shot.add_class import add_class
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec, fused_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.prepared_graphs import load_card
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitCalibration
from seg_perception.risk.cost_matrix import CostMatrix


def two_class_network(softmax: bool = False, opset: int = 17, whole_size: bool = False) -> onnx.ModelProto:
    """Separates dark from bright by the mean colour of 4x4 pixels; its features also hold each colour separately."""
    rng = np.random.default_rng(4)
    to_colours = np.zeros((6, 3, 4, 4), np.float32)
    for channel in range(3):
        to_colours[channel, channel] = 1 / 16
        to_colours[channel + 3, channel] = -1 / 16
    to_features = np.concatenate([np.eye(6), rng.normal(0, 0.3, (2, 6))]).astype(np.float32).reshape(8, 6, 1, 1)
    brightness = np.array([-2, -2, -2, 2, 2, 2, 0, 0], np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "to_colours"], ["colours"], strides=[4, 4]),
        helper.make_node("Relu", ["colours"], ["detail"]),
        helper.make_node("Conv", ["detail", "to_features"], ["context"]),
        helper.make_node("Concat", ["context", "detail"], ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "reduce"], ["reduced"]),
        helper.make_node("Relu", ["reduced"], ["features"]),
        helper.make_node("Conv", ["features", "classify"], ["scores"], name="classifier"),
    ]
    constants = {
        "to_colours": to_colours,
        "to_features": to_features,
        "reduce": np.eye(8, 14, dtype=np.float32).reshape(8, 14, 1, 1),
        "classify": np.stack([brightness, -brightness]).reshape(2, 8, 1, 1),
    }
    end = "scores"
    if whole_size:
        nodes.append(helper.make_node("Resize", [end, "", "", "sizes"], ["larger"], mode="linear"))
        constants["sizes"] = np.array([1, 2, 48, 64], np.int64)
        end = "larger"
    nodes.append(
        helper.make_node("Softmax" if softmax else "Identity", [end], ["logits"], **({"axis": 1} if softmax else {}))
    )
    graph = helper.make_graph(
        nodes,
        "two classes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 48, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


CARD = replace(
    tiny.card(classes=2),
    classes=("Dark", "Bright"),
    calibration={"fp32": LogitCalibration(1.7)},
    measured={"mean_iou": 0.5},
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save(tmp_path, two_class_network(), CARD)


def paths(folder: Path, count: int) -> tuple[list[Path], list[Path]]:
    for index in range(count):
        draw_masked_image(folder, f"p{index}", index)
    return [folder / f"p{index}.jpg" for index in range(count)], [folder / f"p{index}.png" for index in range(count)]


def scores(model: Path, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[K, h, w] as the network file gives them."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    x = (image.astype(np.float32) / 255 - np.array(tiny.MEAN, np.float32)) / np.array(tiny.STD, np.float32)
    return session.run(None, {session.get_inputs()[0].name: x.transpose(2, 0, 1)[None]})[0][0]


def test_the_engine_finds_the_new_class_in_another_image(tmp_path: Path, model: Path) -> None:
    report = add_class(model, "Lawn", *paths(tmp_path, 3), tmp_path / "extended.onnx")
    image, mask = draw_masked_image(tmp_path, "new", 99)
    engine = open_engine(report.model, GraphSpec(sample_points=1))
    costs = np.vstack([1 - np.eye(3), [0, 0, 100]]).astype(np.float32)
    output = engine.run(image[None], costs, np.zeros((1, 1, 2), np.float32))
    found = output.labels[0] == 2
    assert (found & mask).sum() / (found | mask).sum() > 0.8
    assert report.total is not None and report.total.iou > 0.8


def test_logits_of_the_old_classes_do_not_change_by_a_bit(tmp_path: Path, model: Path) -> None:
    before = model.read_bytes()
    report = add_class(model, "Lawn", *paths(tmp_path, 2), tmp_path / "extended.onnx")
    image, _ = draw_masked_image(tmp_path, "new", 99)
    np.testing.assert_array_equal(scores(report.model, image)[:2], scores(model, image))
    assert model.read_bytes() == before


def test_leave_one_out_scores_are_those_of_a_network_made_from_the_other_images(tmp_path: Path, model: Path) -> None:
    images, masks = paths(tmp_path, 3)
    report = add_class(model, "Lawn", images, masks, tmp_path / "all.onnx")
    others = add_class(model, "Lawn", images[1:], masks[1:], tmp_path / "without.onnx")
    image = cv2.cvtColor(cv2.imread(str(images[0])), cv2.COLOR_BGR2RGB)
    full = np.stack([cv2.resize(plane, (64, 48)) for plane in scores(others.model, image)])
    found, mask = full.argmax(axis=0) == 2, cv2.imread(str(masks[0]), cv2.IMREAD_GRAYSCALE) > 0
    first = report.leave_one_out[0]
    assert first.name == "p0.jpg"
    assert first.iou == pytest.approx((found & mask).sum() / (found | mask).sum(), abs=0.02)
    assert first.false_positive_rate == pytest.approx((found & ~mask).sum() / (~mask).sum(), abs=0.02)


def test_one_image_is_enough_but_has_no_leave_one_out_score(tmp_path: Path, model: Path) -> None:
    report = add_class(model, "Lawn", *paths(tmp_path, 1), tmp_path / "extended.onnx")
    assert report.total is None and report.leave_one_out == ()
    assert report.card.measured["taught"] == {"Lawn": {"pictures": 1}}


def test_the_card_describes_the_new_class_and_keeps_the_temperature(tmp_path: Path, model: Path) -> None:
    report = add_class(model, "Lawn", *paths(tmp_path, 2), tmp_path / "extended.onnx", (1, 250, 3))
    card = load_card(report.model, None)
    assert card.classes == ("Dark", "Bright", "Lawn")
    assert card.colours[-1].tolist() == [1, 250, 3]
    assert card.calibration == CARD.calibration
    assert "Lawn was added by few-shot learning from 2 masked images (p0.jpg, p1.jpg)" in card.training_data
    assert card.measured["before_teaching"] == {"mean_iou": 0.5}
    assert card.measured["taught"]["Lawn"]["iou_left_out"] == pytest.approx(report.total.iou, abs=1e-4)


def test_the_calibration_of_every_precision_is_extended(tmp_path: Path) -> None:
    vector, single = LogitCalibration(1.7, (0.6, 1.5), (0.2, -0.2)), LogitCalibration(1.3)
    model = tiny.save(tmp_path, two_class_network(), replace(CARD, calibration={"fp32": vector, "int8": single}))
    report = add_class(model, "Lawn", *paths(tmp_path, 2), tmp_path / "extended.onnx")
    assert report.card.calibration == {"fp32": LogitCalibration(1.7, (0.6, 1.5, 1.0), (0.2, -0.2, 0.0)), "int8": single}
    assert report.total is not None and report.total.iou > 0.8


def test_a_cost_matrix_without_the_new_class_is_refused_until_it_has_a_cost(tmp_path: Path, model: Path) -> None:
    card = add_class(model, "Lawn", *paths(tmp_path, 1), tmp_path / "extended.onnx").card
    matrix = tmp_path / "costs.yaml"
    text = "misclassification: {default: 1, correct: 0}\ntraverse: {Dark: 0, Bright: 0}\nstanding: []\nignore: []\n"
    matrix.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="has no cost for Lawn"):
        CostMatrix.load(matrix, card.classes)
    matrix.write_text(text.replace("Bright: 0", "Bright: 0, Lawn: 90"), encoding="utf-8")
    assert CostMatrix.load(matrix, card.classes).traverse.tolist() == [0, 0, 90]


def test_a_second_class_can_be_added(tmp_path: Path, model: Path) -> None:
    images, masks = paths(tmp_path, 2)
    first = add_class(model, "Lawn", images, masks, tmp_path / "first.onnx")
    for path in masks:
        grey = np.zeros((48, 64), np.uint8)
        grey[:, :32] = 255
        cv2.imwrite(str(path), np.where(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0, 0, grey))
    second = add_class(first.model, "Concrete", images, masks, tmp_path / "second.onnx")
    assert second.card.classes == ("Dark", "Bright", "Lawn", "Concrete")
    assert set(second.card.measured["taught"]) == {"Lawn", "Concrete"}
    image, lawn = draw_masked_image(tmp_path, "new", 99)
    np.testing.assert_array_equal(scores(second.model, image)[:3], scores(first.model, image))
    label = np.stack([cv2.resize(plane, (64, 48)) for plane in scores(second.model, image)]).argmax(axis=0)
    assert (label[lawn] == 2).mean() > 0.8
    assert (label[:, :28][~lawn[:, :28]] == 3).mean() > 0.8


@pytest.mark.parametrize("variant", [{"softmax": True}, {"opset": 18}, {"whole_size": True}], ids=str)
def test_other_heads_are_supported(tmp_path: Path, variant: dict[str, int]) -> None:
    card = replace(CARD, output="probabilities" if "softmax" in variant else "logits")
    model = tiny.save(tmp_path, two_class_network(**variant), card)
    report = add_class(model, "Lawn", *paths(tmp_path, 2), tmp_path / "extended.onnx")
    image, mask = draw_masked_image(tmp_path, "new", 99)
    given = scores(report.model, image)
    assert given.shape == ((3, 48, 64) if "whole_size" in variant else (3, 12, 16))
    found = np.stack([cv2.resize(plane, (64, 48)) for plane in given]).argmax(axis=0) == 2
    assert (found & mask).sum() / (found | mask).sum() > 0.7


def test_an_extended_network_converts_to_fp16_and_int8(tmp_path: Path, model: Path) -> None:
    report = add_class(model, "Lawn", *paths(tmp_path, 2), tmp_path / "extended.onnx")
    fused = fused_graph(read_network(report.model, report.card, 1), report.card, GraphSpec(sample_points=1), stride=4)
    image, _ = draw_masked_image(tmp_path, "new", 99)
    inputs = {"image": image[None], "costs": np.ones((4, 3), np.float32) - np.eye(4, 3, dtype=np.float32)}
    inputs["sample_points"] = np.zeros((1, 1, 2), np.float32)

    def labels(graph: onnx.ModelProto) -> NDArray[np.uint8]:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(["labels"], inputs)[0]

    for precision in ("fp16", "int8"):
        converted = convert_precision(fused, precision, [image[None]])
        onnx.checker.check_model(converted, full_check=True)
        assert (labels(converted) == labels(fused)).mean() > 0.97


def test_a_network_without_a_convolution_at_its_end_is_refused_in_one_sentence(tmp_path: Path) -> None:
    network = two_class_network()
    network.graph.node[-1].CopyFrom(helper.make_node("Sigmoid", ["scores"], ["logits"]))
    model = tiny.save(tmp_path, network, CARD)
    with pytest.raises(ModelError, match=r"come from the operator Sigmoid .* give the network in fp32, without"):
        add_class(model, "Lawn", *paths(tmp_path, 1), tmp_path / "extended.onnx")
    assert not (tmp_path / "extended.onnx").exists()


def test_features_of_another_resolution_than_the_logits_are_refused(tmp_path: Path) -> None:
    network = two_class_network()
    network.graph.node[-2].attribute.append(helper.make_attribute("strides", [2, 2]))
    model = tiny.save(tmp_path, network, CARD)
    with pytest.raises(ModelError, match="its classifier changes the resolution"):
        add_class(model, "Lawn", *paths(tmp_path, 1), tmp_path / "extended.onnx")


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros((48, 64), np.uint8), "marks nothing"),
        (np.full((48, 64), 1, np.uint8), "marks everything"),
        (np.pad(np.full((1, 1), 255, np.uint8), ((0, 47), (0, 63))), "too thin for the network, which sees 16x12"),
        (None, "is not an image that can be decoded"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(
    tmp_path: Path, model: Path, mask: NDArray[np.uint8] | None, sentence: str
) -> None:
    images, masks = paths(tmp_path, 2)
    if mask is None:
        masks[1].write_bytes(b"no image")
    else:
        cv2.imwrite(str(masks[1]), mask)
    with pytest.raises(ConfigError, match=rf"p1.*{sentence}"):
        add_class(model, "Lawn", images, masks, tmp_path / "extended.onnx")


def test_an_existing_class_a_used_colour_and_an_existing_file_are_refused(tmp_path: Path, model: Path) -> None:
    given = paths(tmp_path, 1)
    with pytest.raises(ConfigError, match="'Dark' is a class of 'tiny' already"):
        add_class(model, "Dark", *given, tmp_path / "extended.onnx")
    with pytest.raises(ConfigError, match="the colour 3 4 5 belongs to another class"):
        add_class(model, "Lawn", *given, tmp_path / "extended.onnx", (3, 4, 5))
    with pytest.raises(ConfigError, match="exists already; name another file with --out"):
        add_class(model, "Lawn", *given, model)


def test_the_command_prints_leave_one_out_scores_and_the_next_step(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, masks = paths(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    command = ["teach", "--class", "Lawn", "--model", str(model), "--masks", *map(str, masks)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "leave-one-out: IoU" in printed and "add 'Lawn: COST' to 'traverse'" in printed
    assert ModelCard.load(tmp_path / "tiny_Lawn.yaml").classes[-1] == "Lawn"
    assert main(command) == 2


@pytest.mark.slow
def test_the_shipped_network_learns_a_class_of_real_images(tmp_path: Path, real_data: Path) -> None:
    from seg_perception.utils.package_files import find

    images, masks = [], []
    for name in ("0001TP_006690", "0016E5_04620"):
        label = cv2.imread(str(real_data / "camvid/train/labels" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        masks.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(masks[-1]), (label == 4).astype(np.uint8))
        images.append(real_data / "camvid/train/images" / f"{name}.jpg")
    report = add_class(find("models/urban.onnx"), "Cobbles", images, masks, tmp_path / "extended.onnx")
    assert report.total is not None
    assert report.total.iou > 0.7
    assert report.total.false_positive_rate < 0.02
