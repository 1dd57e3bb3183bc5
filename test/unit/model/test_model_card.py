from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from support import tiny_networks as tiny

from seg_perception.errors import ConfigError, ModelError
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitCalibration

Content = dict[str, Any]


def content(folder: Path) -> Content:
    """The YAML content of a card without mistakes."""
    tiny.card(classes=3, sha256="a1" * 32).write(folder / "good.yaml")
    loaded: Content = yaml.safe_load((folder / "good.yaml").read_text(encoding="utf-8"))
    return loaded


def test_a_written_card_is_read_back_unchanged(tmp_path: Path) -> None:
    card = tiny.card(
        classes=4,
        width=480,
        height=360,
        name="größer",
        channel_order="bgr",
        output="probabilities",
        output_name="/head/Resize_output_0",
        calibration={
            "fp32": LogitCalibration(1.37),
            "int8": LogitCalibration(1.2, (0.9, 1.0, 1.1, 2.0), (0.0, -1.5, 0.25, 1e-4)),
        },
        sha256="1234567890" * 6 + "1234",  # digits alone: YAML must not take it for a number
        training_data="CamVid, 367 images",
        licence="CC BY-NC-SA",
        measured={"miou": 0.61, "iou": {"class0": 0.9, "class1": None}, "ece": {"before": 0.05, "after": 0.01}},
    )
    card.write(tmp_path / "card.yaml")
    again = ModelCard.load(tmp_path / "card.yaml")
    np.testing.assert_array_equal(again.colours, card.colours)
    assert again.colours.dtype == np.uint8
    for field in fields(ModelCard):
        if field.name != "colours":
            assert getattr(again, field.name) == getattr(card, field.name), field.name


def test_a_temperature_alone_is_the_calibration_of_every_precision(tmp_path: Path) -> None:
    card = content(tmp_path)
    older(1.3)(card)
    path = tmp_path / "older.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    loaded = ModelCard.load(path)
    assert loaded.calibration == {"fp32": LogitCalibration(1.3)}
    assert (
        loaded.calibration_for("int8")
        == loaded.calibration_for("fp16")
        == loaded.calibration_for("fp32")
        == LogitCalibration(1.3)
    )


def test_each_precision_has_its_own_calibration_or_that_of_fp32() -> None:
    vector = LogitCalibration(1.1, (1.0,) * 5, (0.5,) * 5)
    card = tiny.card(calibration={"fp32": LogitCalibration(1.4), "int8": vector})
    assert [card.calibration_for(name) for name in ("fp32", "fp16", "int8")] == [
        LogitCalibration(1.4),
        LogitCalibration(1.4),
        vector,
    ]


def test_the_colours_of_a_loaded_card_cannot_be_changed(tmp_path: Path) -> None:
    tiny.card().write(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match="read-only"):
        ModelCard.load(tmp_path / "card.yaml").colours[0] = 7


def test_a_card_belongs_to_one_file_only(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights" * 300_000)
    right = hashlib.sha256(model.read_bytes()).hexdigest()
    tiny.card(sha256=right).verify(model)
    with pytest.raises(ModelError) as caught:
        tiny.card(sha256="0" * 64).verify(model)
    for word in (str(model), right, "0" * 64, "re-create the card"):
        assert word in str(caught.value)


def test_the_sha256_covers_weights_in_a_second_file(tmp_path: Path) -> None:
    model, weights = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    onnx.save(tiny.network(), model, save_as_external_data=True, location=weights.name, size_threshold=0)
    card = tiny.card(sha256=hashlib.sha256(model.read_bytes() + weights.read_bytes()).hexdigest())
    card.verify(model)
    changed = bytearray(weights.read_bytes())
    changed[5] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(ModelError, match="its sha256 is"):
        card.verify(model)
    weights.unlink()
    with pytest.raises(ModelError, match=r"keeps its weights in model\.onnx\.data, which is not next to it"):
        card.verify(model)


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: no such model file"):
        tiny.card().verify(tmp_path / "gone.onnx")


def test_a_model_that_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a directory")):
        with pytest.raises(ModelError, match=rf"cannot be read \(Is {kind}\); give an ONNX file"):
            tiny.card().verify(path)


def set_class(index: int, key: str, value: Any) -> Callable[[Content], None]:
    return lambda card: card["classes"][index].__setitem__(key, value)


def set_input(key: str, value: Any) -> Callable[[Content], None]:
    return lambda card: card["input"].__setitem__(key, value)


def put(key: str, value: Any) -> Callable[[Content], None]:
    return lambda card: card.__setitem__(key, value)


def older(temperature: Any) -> Callable[[Content], None]:
    """A card of the older form, which knows one temperature only."""

    def change(card: Content) -> None:
        del card["calibration"]
        card["temperature"] = temperature

    return change


def calibrate(precision: str, **values: Any) -> Callable[[Content], None]:
    return lambda card: card["calibration"].__setitem__(precision, values)


MISTAKES: dict[str, tuple[Callable[[Content], Any], str]] = {
    "no name": (lambda card: card.pop("name"), "'name': is missing"),
    "unknown key": (put("temprature", 1.0), "'temprature': is not a known key.*did you mean 'temperature'"),
    "unknown input key": (set_input("depth", 3), "'input.depth': is not a known key"),
    "unknown class key": (set_class(0, "cost", 3), r"'classes\[0\].cost': is not a known key"),
    "one class": (lambda card: card["classes"].__delitem__(slice(1, None)), "'classes': lists 1 classes.*2 to 254"),
    "too many classes": (put("classes", [{"name": "a", "colour": [0, 0, 0]}] * 255), "'classes': lists 255 classes"),
    "class without mapping": (
        lambda card: card["classes"].__setitem__(1, "Road"),
        r"'classes\[1\]': must be a mapping",
    ),
    "class twice": (set_class(2, "name", "class0"), r"'classes\[2\].name': 'class0' is listed twice"),
    "colour twice": (set_class(2, "colour", [0, 1, 2]), r"'classes\[2\].colour': is the colour of 'class0' too"),
    "colour of two numbers": (set_class(1, "colour", [1, 2]), r"'classes\[1\].colour': must have 3 numbers"),
    "colour too large": (set_class(1, "colour", [1, 2, 256]), r"'classes\[1\].colour': is 256.*0 to 255"),
    "colour not whole": (set_class(1, "colour", [1, 2, 2.5]), r"'classes\[1\].colour': must be three whole numbers"),
    "width zero": (set_input("width", 0), "'input.width': is 0"),
    "height as text": (set_input("height", "360"), "'input.height': must be a whole number"),
    "channel order": (set_input("channel_order", "RGB"), "'input.channel_order': 'RGB' is not known.*'rgb'"),
    "mean for 0..255": (set_input("mean", [123.7, 116.3, 103.5]), "'input.mean': holds 123.7.*divide by 255"),
    "std of zero": (set_input("std", [0.2, 0, 0.2]), "'input.std': is 0, but must be greater than 0"),
    "std of almost zero": (set_input("std", [0.2, 1e-300, 0.2]), "'input.std': is 1e-300, but must be at least 0.001"),
    "temperature of almost zero": (
        older(1e-300),
        r"'temperature': is 1e-300, but must lie within 0.0001 to 10000; calibrate again",
    ),
    "huge temperature": (older(1e308), r"'temperature': is 1e\+308, but must lie within 0.0001 to 10000"),
    "huge scale": (
        calibrate("int8", temperature=1, scale=[1, 1, 1e300], bias=[0, 0, 0]),
        r"'calibration.int8.scale\[2\]': is 1e\+300, but must lie within 0.0001 to 10000",
    ),
    "huge biases": (
        calibrate("int8", temperature=1, scale=[1, 1, 1], bias=[1e18, 1e18, 1e18]),
        r"'calibration.int8.bias\[0\]': is 1e\+18, but must lie within -1000 to 1000",
    ),
    "output": (put("output", "logit"), "'output': 'logit' is not known.*'logits'"),
    "temperature of zero": (older(0), "'temperature': is 0, but must be greater than 0"),
    "temperature not finite": (older(float("nan")), "'temperature': must be a finite number"),
    "no calibration": (lambda card: card.pop("calibration"), "'calibration': is missing"),
    "both forms of calibration": (put("temperature", 1.3), "'temperature': is given next to 'calibration'"),
    "no fp32": (put("calibration", {"int8": {"temperature": 1.0}}), "'calibration.fp32': is missing"),
    "precision": (
        calibrate("fp64", temperature=1.0),
        "'calibration.fp64': is not a known key.*known here: fp16, fp32, int8",
    ),
    "no temperature": (
        calibrate("int8", scale=[1, 1, 1], bias=[0, 0, 0]),
        "'calibration.int8.temperature': is missing",
    ),
    "scale without bias": (calibrate("int8", temperature=1, scale=[1, 1, 1]), "'calibration.int8.bias': is missing"),
    "bias that no float holds": (
        calibrate("int8", temperature=1, scale=[1, 1, 1], bias=[0, 50, 0]),
        "'calibration.int8.bias': spreads over 50, but may over 40 at most",
    ),
    "bias of two": (
        calibrate("int8", temperature=1, scale=[1, 1, 1], bias=[0, 0]),
        "'calibration.int8.bias': must have 3 numbers, not 2",
    ),
    "scale of zero": (
        calibrate("int8", temperature=1, scale=[1, 0, 1], bias=[0, 0, 0]),
        r"'calibration.int8.scale\[1\]': is 0, but must be greater than 0",
    ),
    "short sha256": (put("sha256", "abc"), "'sha256': must be 64 hexadecimal digits"),
    "sha256 as number": (put("sha256", 12345), "'sha256': must be 64 hexadecimal digits"),
    "measured": (put("measured", 0.6), "'measured': must be a mapping"),
    "no licence": (put("licence", ""), "'licence': must be text"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_in_a_card_is_one_sentence_with_file_and_key(tmp_path: Path, mistake: str) -> None:
    make, sentence = MISTAKES[mistake]
    card = content(tmp_path)
    make(card)
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence) as caught:
        ModelCard.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
