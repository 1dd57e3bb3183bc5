"""The model card: what a network's outputs mean, which images it takes, and how accurate it was measured to be.

A card lies next to its ONNX file (`urban.onnx`, `urban.yaml`) and names it by sha256. So class names, normalisation and
calibration are never read from the card of another network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, ModelError
from seg_perception.model.logit_calibration import LogitCalibration, read_calibration, read_temperature
from seg_perception.settings.yaml_file import Section, load_yaml
from seg_perception.utils.small_files import open_regular_file

Precision = Literal["fp32", "fp16", "int8"]
"""Number format in which a network computes; "fp32" is the file as it is, which may be quantised itself."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

MAX_CLASSES = 254
"""Label images are uint8, and 255 means "no label"."""

_MAX_SIDE = 8192
_MIN_STD = 1e-3  # of images scaled to 0..1; less than a quarter of one grey level


@dataclass(frozen=True, eq=False)
class ModelCard:
    """A network and the meaning of its outputs.

    Attributes:
        name: short name for reports.
        classes: class names in the order of the network's output channels; K of them.
        colours: uint8 [K, 3] RGB, one colour per class; read-only.
        width: width of the network's input, pixels.
        height: height of the network's input, pixels.
        channel_order: order of the network's input channels.
        mean: per input channel (in `channel_order`), of the image scaled to 0..1.
        std: per input channel, likewise; the network sees (image / 255 - mean) / std.
        output: "logits", or "probabilities" when the network ends in a softmax.
        calibration: of the logits before the softmax, by the precision in which the network computes; fp32 is always
            present.
        sha256: `model_sha256` of the ONNX file, 64 hexadecimal digits.
        training_data: what the network was trained on.
        licence: licence of the weights and of their training data.
        measured: metrics, free in form (mIoU, IoU per class, ECE before and after calibration).
        output_name: name of the value in the network's graph that holds the scores; None for the only output.
    """

    name: str
    classes: tuple[str, ...]
    colours: NDArray[np.uint8]
    width: int
    height: int
    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    output: Literal["logits", "probabilities"]
    calibration: Mapping[Precision, LogitCalibration]
    sha256: str
    training_data: str
    licence: str
    measured: Mapping[str, Any]
    output_name: str | None = None

    @classmethod
    def load(cls, path: Path | str) -> ModelCard:
        """Read a card; `verify` checks it against a model file.

        Args:
            path: the YAML file.

        Raises:
            ConfigError: the file is missing or has a mistake; the message names file and key.
        """
        section = load_yaml(path)
        image = section.section("input")
        classes, colours = _classes(section)
        card = cls(
            name=section.text("name"),
            classes=classes,
            colours=colours,
            width=image.integer("width", 1, _MAX_SIDE),
            height=image.integer("height", 1, _MAX_SIDE),
            channel_order=cast(Literal["rgb", "bgr"], image.text("channel_order", ("rgb", "bgr"))),
            mean=_unit_scaled(image, "mean"),
            std=_unit_scaled(image, "std", above_zero=True),
            output=cast(Literal["logits", "probabilities"], section.text("output", ("logits", "probabilities"))),
            calibration=_calibration(section, len(classes)),
            sha256=_sha256(section),
            training_data=section.text("training_data"),
            licence=section.text("licence"),
            measured=cast(Mapping[str, Any], section.value("measured")),
            output_name=section.text("output_name") if "output_name" in section else None,
        )
        if not isinstance(card.measured, Mapping):
            raise section.error("measured", "must be a mapping (figure: value); {} when nothing was measured.")
        image.finish()
        section.finish()
        return card

    def write(self, path: Path | str) -> None:
        """Write the card as YAML that `load` reads back to the same card."""
        content = {
            "name": self.name,
            "classes": [
                {"name": name, "colour": colour}
                for name, colour in zip(self.classes, self.colours.tolist(), strict=True)
            ],
            "input": {
                "width": self.width,
                "height": self.height,
                "channel_order": self.channel_order,
                "mean": list(self.mean),
                "std": list(self.std),
            },
            "output": self.output,
            **({} if self.output_name is None else {"output_name": self.output_name}),
            "calibration": {name: calibration.as_mapping() for name, calibration in self.calibration.items()},
            "sha256": self.sha256,
            "training_data": self.training_data,
            "licence": self.licence,
            "measured": dict(self.measured),
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        Path(path).write_text(text, encoding="utf-8")

    def calibration_for(self, precision: Precision) -> LogitCalibration:
        """The calibration for a precision; that of fp32 if this precision was not calibrated itself."""
        return self.calibration.get(precision, self.calibration["fp32"])

    def verify(self, model: Path) -> None:
        """Check that `model` is the file that this card describes.

        Raises:
            ModelError: it cannot be read, or its sha256 differs.
        """
        actual = model_sha256(model)
        if actual != self.sha256:
            raise ModelError(
                f"{model}: its sha256 is {actual}, but the model card '{self.name}' describes {self.sha256}; re-create "
                "the card for this file, or put its sha256 there if the rest of the card is right for it."
            )


def file_sha256(path: Path) -> str:
    """Hash a file: sha256 as 64 hexadecimal digits.

    Raises:
        ModelError: the file is missing or cannot be read.
    """
    return _sha256_of([path])


def model_sha256(path: Path) -> str:
    """Hash an ONNX file together with its external weight files.

    The hash is what `cat net.onnx net.onnx.data | sha256sum` prints (weight files in the order of their names). Without
    external weights it is the hash of the one file.

    Raises:
        ModelError: one of the files is missing or cannot be read.
    """
    return _sha256_of([path, *_weight_files(path)])


def _weight_files(path: Path) -> list[Path]:
    try:
        open_regular_file(path).close()  # onnx would wait for a pipe
        network = onnx.load(path, load_external_data=False)
    except Exception:  # not a model: `read_network` reports that
        return []
    entries = [entry for tensor in network.graph.initializer for entry in tensor.external_data]
    files = [path.parent / name for name in sorted({entry.value for entry in entries if entry.key == "location"})]
    for file in files:
        if not file.is_file():
            raise ModelError(f"{path}: keeps its weights in {file.name}, which is not next to it; copy both files.")
    return files


def _sha256_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open_regular_file(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except FileNotFoundError:
            raise ModelError(f"{path}: no such model file; check the path.") from None
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror}); give an ONNX file.") from None
    return digest.hexdigest()


def _classes(section: Section) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    items = section.sequence("classes")
    if not 2 <= len(items) <= MAX_CLASSES:
        raise section.error("classes", f"lists {len(items)} classes, but must list 2 to {MAX_CLASSES}.")
    names: list[str] = []
    colours: list[tuple[float, ...]] = []
    for index, item in enumerate(items):
        key = f"classes[{index}]"
        if not isinstance(item, Mapping):
            raise section.error(key, "must be a mapping with 'name' and 'colour'.")
        entry = Section(section.path, key, item)
        name = entry.text("name")
        colour = tuple(entry.as_number("colour", value, 0, 255) for value in entry.numbers("colour", 3))
        if any(value != int(value) for value in colour):
            raise entry.error("colour", "must be three whole numbers 0 to 255 (red, green, blue).")
        entry.finish()
        if name in names:
            raise entry.error("name", f"'{name}' is listed twice; give every class its own name.")
        if colour in colours:
            raise entry.error(
                "colour", f"is the colour of '{names[colours.index(colour)]}' too; give every class its own."
            )
        names.append(name)
        colours.append(colour)
    array = np.array(colours, dtype=np.uint8)
    array.setflags(write=False)
    return tuple(names), array


def _calibration(section: Section, classes: int) -> dict[Precision, LogitCalibration]:
    """Read the key `calibration`, or `temperature` alone, which is one temperature for every precision."""
    if "temperature" in section:
        if "calibration" in section:
            raise section.error(
                "temperature", "is given next to 'calibration', which holds the temperatures; remove it."
            )
        return {"fp32": LogitCalibration(read_temperature(section))}
    entries = section.section("calibration")
    names: list[Precision] = [name for name in PRECISIONS if name in entries or name == "fp32"]
    calibration = {name: read_calibration(entries.section(name), classes) for name in names}
    entries.finish()
    return calibration


def _unit_scaled(section: Section, key: str, above_zero: bool = False) -> tuple[float, float, float]:
    values = section.numbers(key, 3)
    for value in values:
        if not 0 <= value <= 1:
            raise section.error(
                key, f"holds {value:g}, but is for images scaled to 0..1; divide by 255 if it is meant for 0..255."
            )
        if above_zero and value <= 0:
            raise section.error(key, f"is {value:g}, but must be greater than 0.")
        if above_zero and value < _MIN_STD:
            raise section.error(key, f"is {value:g}, but must be at least {_MIN_STD:g}.")
    return values[0], values[1], values[2]


def _sha256(section: Section) -> str:
    # A hash of digits alone is a number to YAML, so the raw value may be anything.
    value = section.value("sha256")
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        error: ConfigError = section.error(
            "sha256", "must be 64 hexadecimal digits in quotes, as sha256sum prints them."
        )
        raise error
    return value
