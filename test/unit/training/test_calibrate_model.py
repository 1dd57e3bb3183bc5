"""`seg-perception calibrate`: a calibration per precision in the model card, and a reliability diagram."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from support import tiny_networks as tiny

from seg_perception.cli.__main__ import main
from seg_perception.errors import ConfigError, ImageError, ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.precision.network_part import extract_network
from seg_perception.inference.prepared_graphs import prepare_graphs
from seg_perception.model.card import ModelCard, file_sha256
from seg_perception.model.logit_calibration import LogitCalibration
from seg_perception.training.calibration.calibrate import calibrate
from seg_perception.training.calibration.calibrate_model import calibrate_model
from seg_perception.training.calibration.summary import calibration_summary
from seg_perception.training.plan import load_plan

PLAN = """
training_data: coloured patches
licence: none
classes: {class0: [255, 0, 0], class1: [0, 255, 0], class2: [0, 0, 255]}
input: {width: 64, height: 48}
train: {toy: {images: images, labels: labels, values: {0: class0, 1: class1, 2: class2, 255: ignore}}}
validation: {toy: {images: images, labels: labels, values: {0: class0, 1: class1, 2: class2, 255: ignore}}}
settings: {epochs: 1, batch: 2, crop: [64, 48], learning_rate: 0.003, weight_decay: 0.01, losses: {dice: 1.0}, seed: 3}
"""
CARD = tiny.card(classes=3, mean=tiny.MEAN, std=tiny.STD)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Patches of colour with random labels: the redder, the likelier class 0; class 2 half as likely as it looks."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(6):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        mass = np.exp(coarse / 255 * 6) * np.array([1, 1, 0.5])
        chance = np.cumsum(mass / mass.sum(axis=2, keepdims=True), axis=2)[..., :-1].repeat(4, axis=0).repeat(4, axis=1)
        label = (rng.random((48, 64, 1)) > chance).sum(axis=2).astype(np.uint8)
        label[:2] = 255
        image = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image[:, :, ::-1])
        cv2.imwrite(str(tmp_path / "labels" / f"{index}.png"), label)
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An overconfident network, with a card that is not calibrated."""
    return tiny.save(tmp_path, tiny.colour_network(certainty=12.0), replace(CARD, measured={"seen": "once"}))


def raw_network(model: onnx.ModelProto) -> object:
    """Image to logits, with normalisation in numpy and none of the fused graph's nodes after the network."""
    session = onnxruntime.InferenceSession(extract_network(model).SerializeToString())

    def network(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        planes = ((image / 255 - tiny.MEAN) / tiny.STD).transpose(2, 0, 1)[None].astype(np.float32)
        return session.run(None, {session.get_inputs()[0].name: planes})[0][0]

    return network


def ranges(plan: Path) -> list[NDArray[np.uint8]]:
    return [load_rgb(path)[None] for path in sorted((plan.parent / "images").iterdir())]


def load_rgb(path: Path) -> NDArray[np.uint8]:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.mark.slow
def test_one_command_calibrates_every_precision(plan: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["calibrate", str(plan), str(model)])
    printed = capsys.readouterr().out
    card = ModelCard.load(model.with_suffix(".yaml"))
    assert list(card.calibration) == ["fp32", "fp16", "int8"]
    assert card.measured["seen"] == "once"
    card.verify(model)
    for precision in ("fp32", "fp16", "int8"):
        content = card.measured[precision]
        assert content["validation_data"] == "toy (6 images)"
        assert content["calibration"] == "vector scaling"
        assert content["nll"]["vector"] < content["nll"]["temperature"] < content["nll"]["none"]
        assert content["ece"]["after"] < 0.02 < content["ece"]["before"]
        assert content["classwise_ece"]["after"] < content["classwise_ece"]["before"]
        bins = content["reliability"]
        assert sum(bins["count"]) == 6 * 46 * 64 and len(bins["edges"]) == 16
        assert (np.array(bins["count"]) == 0).tolist() == [value is None for value in bins["accuracy"]]
        # The fit finds the distribution of the labels: 6 times the colour, class 2 half as likely.
        factor, bias = card.calibration[precision].factor, np.array(card.calibration[precision].bias)
        np.testing.assert_allclose(factor, 0.5, rtol=0.2)
        np.testing.assert_allclose(bias - bias[0], [0, 0, np.log(0.5)], atol=0.35)
        assert f"{content['ece']['before']:.4f} -> {content['ece']['after']:.4f}" in printed
    diagram = (model.parent / "tiny_reliability.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(diagram)
    assert f"ECE {card.measured['fp32']['ece']['after']:.4f}" in diagram


def test_an_engine_applies_the_calibration(plan: Path, model: Path) -> None:
    calibrate_model(plan, None, model, ["fp32"])
    engine = open_engine(model, GraphSpec(sample_points=1, resolution="native", logits=True))
    image = ranges(plan)[0]
    logits = engine.run(image, np.ones((4, 3), np.float32), np.zeros((1, 1, 2), np.float32)).logits[0]
    raw = raw_network(prepare_graphs(model, engine.card, GraphSpec(sample_points=1)).fused)(image[0])
    expected = engine.card.calibration["fp32"].apply(raw - raw.max(axis=0))
    np.testing.assert_allclose(logits - logits.max(axis=0), expected - expected.max(axis=0), atol=1e-3)


@pytest.mark.slow
def test_each_precision_is_fitted_to_the_outputs_of_the_converted_network(
    plan: Path, model: Path, tmp_path: Path
) -> None:
    # Ranges from dull images: the integers saturate at bright colours, so confidence is lower.
    (tmp_path / "dull").mkdir()
    dull = [cv2.addWeighted(image[0], 0.2, image[0], 0, 100) for image in ranges(plan)]
    for index, image in enumerate(dull):
        cv2.imwrite(str(tmp_path / "dull" / f"{index}.png"), image[:, :, ::-1])
    results = calibrate_model(plan, None, model, ["fp32", "int8"], tmp_path / "dull")
    read = load_plan(plan)
    fused = prepare_graphs(model, CARD, GraphSpec(sample_points=1)).fused
    int8 = convert_precision(fused, "int8", [image[None] for image in dull])
    for precision, converted in (("fp32", fused), ("int8", int8)):
        alone = calibrate(raw_network(converted), read.validation, read.space, (64, 48))
        assert results[precision].nll_before == pytest.approx(alone.nll_before, abs=1e-5)
        np.testing.assert_allclose(results[precision].scaling.factor, alone.scaling.factor, atol=1e-3)
        np.testing.assert_allclose(results[precision].scaling.offset, alone.scaling.offset, atol=1e-3)
    assert results["int8"].scaling.temperature < results["fp32"].scaling.temperature - 0.3


def test_calibrating_one_precision_leaves_the_others_unchanged(plan: Path, model: Path) -> None:
    calibrate_model(plan, None, model, ["fp32"])
    diagram = model.parent / "tiny_reliability.svg"
    diagram.unlink()
    first = ModelCard.load(model.with_suffix(".yaml"))
    calibrate_model(plan, None, model, ["int8"], range_images=plan.parent / "images")
    second = ModelCard.load(model.with_suffix(".yaml"))
    assert second.calibration["fp32"] == first.calibration["fp32"] != second.calibration["int8"]
    assert second.measured["fp32"] == first.measured["fp32"]
    assert not diagram.exists(), "the diagram is that of fp32"


def test_calibrating_twice_gives_the_same_card(plan: Path, model: Path) -> None:
    calibrate_model(plan, None, model, ["fp32"])
    once = model.with_suffix(".yaml").read_text(encoding="utf-8")
    calibrate_model(plan, None, model, ["fp32"])
    assert model.with_suffix(".yaml").read_text(encoding="utf-8") == once


def test_a_quantised_file_has_one_precision(plan: Path, model: Path) -> None:
    fused = prepare_graphs(model, CARD, GraphSpec(sample_points=1)).fused
    quantised = extract_network(convert_precision(fused, "int8", ranges(plan), "cpu"))
    results = calibrate_model(plan, None, tiny.save(plan.parent, quantised, CARD))
    assert list(results) == ["fp32"]
    assert results["fp32"].after.ece() < 0.02


@pytest.mark.slow
def test_an_int8_network_compiled_for_the_cpu_starts_with_the_calibration_of_int8(plan: Path, model: Path) -> None:
    calibrate_model(plan, None, model)
    images, out = str(plan.parent / "images"), plan.parent / "small.onnx"
    options = ["--precision", "int8", "--target", "cpu", "--calibration", images, "--check", str(plan), "--anyway"]
    main(["compile", str(model), *options, "--out", str(out)])
    card, compiled = (ModelCard.load(path.with_suffix(".yaml")) for path in (model, out))
    assert compiled.calibration == {"fp32": card.calibration["int8"]}
    compiled.verify(out)


def test_a_temperature_in_an_older_card_is_replaced(plan: Path, model: Path) -> None:
    path = model.with_suffix(".yaml")
    lines = path.read_text(encoding="utf-8").replace("calibration:\n  fp32: {temperature: 1.0}\n", "temperature: 3.0\n")
    path.write_text(lines, encoding="utf-8")
    assert ModelCard.load(path).calibration == {"fp32": LogitCalibration(3.0)}
    (result,) = calibrate_model(plan, None, model, ["fp32"]).values()
    assert ModelCard.load(path).calibration == {"fp32": result.scaling.rounded()}
    assert result.nll_before > result.nll_temperature, (
        "measured on the outputs of the network, without the older temperature"
    )


def test_mistakes_are_one_sentence(plan: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"empty: holds no image .*; give a folder that does\.$"):
        calibrate_model(plan, None, model, ["int8"], tmp_path / "empty")
    with pytest.raises(ImageError, match=r"absent: is not a folder; give one that holds images\.$"):
        calibrate_model(plan, None, model, ["int8"], tmp_path / "absent")
    (tmp_path / "broken").mkdir()
    content = (tmp_path / "images" / "0.png").read_bytes()
    (tmp_path / "broken" / "cut.png").write_bytes(content[:60])
    with pytest.raises(ImageError, match=r"cut\.png: "):
        calibrate_model(plan, None, model, ["int8"], tmp_path / "broken")
    other = replace(CARD, classes=("class0", "class1", "mud"), sha256=file_sha256(model))
    other.write(model.with_suffix(".yaml"))
    with pytest.raises(ConfigError, match=r"its classes are not those of .*plan\.yaml; use the plan of this model\.$"):
        calibrate_model(plan, None, model)
    with pytest.raises(ModelError, match="no such model file"):
        calibrate_model(plan, None, tmp_path / "absent.onnx")


def test_summary_and_card_agree(plan: Path, model: Path) -> None:
    (result,) = calibrate_model(plan, None, model, ["fp16"]).values()
    content = ModelCard.load(model.with_suffix(".yaml")).measured["fp16"]
    assert content == {"validation_data": "toy (6 images)", **calibration_summary(result)}
    assert content["mean_iou"]["after"] == pytest.approx(np.mean(list(content["iou"].values())), abs=1e-4)
