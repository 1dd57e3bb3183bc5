"""Reads label files: numbers of 8 or 16 bits, palettes, colours, and ADE20K's object indices coded in a colour.

Every file is read into one whole number per pixel, its code. The dataset maps codes to labels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.sensor_data.images.labelled_files import open_image_file
from seg_perception.settings.yaml_file import Section

Encoding = Literal["ids", "colours", "ade20k"]
"""ids: the pixel's value. colours: 65536 R + 256 G + B. ade20k: 256 (R div 10) + G, as in ADE20K's full release."""

CODES: dict[Encoding, int] = {"ids": 1 << 16, "colours": 1 << 24, "ade20k": 1 << 16}
"""Number of codes of each encoding."""


def read_codes(path: Path, encoding: Encoding) -> NDArray[np.integer]:
    """The codes of a label file, whole numbers [H, W].

    Under "ids" a palette file gives the index, not the colour. OpenCV cannot read that; Pillow can.

    Raises:
        ConfigError: the file cannot be decoded, or its pixel format does not fit the encoding.
    """
    with open_image_file(path) as file:
        if encoding == "ids":
            codes = np.asarray(file)
            if codes.ndim != 2 or codes.dtype.kind not in "biu":
                raise ConfigError(
                    f"{path}: holds {file.mode} pixels, but one number per pixel is expected; name colours as "
                    "'R G B' in the values, or convert it."
                )
            codes = codes.astype(np.uint8) if codes.dtype == bool else codes
        elif file.mode in ("RGB", "RGBA", "P"):
            codes = _packed(np.asarray(file.convert("RGB")), encoding)
        else:
            raise ConfigError(f"{path}: holds {file.mode} pixels, but colours are expected; name numbers instead.")
    if codes.dtype.itemsize > 2 and encoding == "ids" and not 0 <= codes.min() <= codes.max() < CODES["ids"]:
        raise ConfigError(f"{path}: holds values beyond 0 to {CODES['ids'] - 1}; convert it.")
    return codes


def _packed(colours: NDArray[np.uint8], encoding: Encoding) -> NDArray[np.integer]:
    red, green, blue = (colours[:, :, channel].astype(np.int32) for channel in range(3))
    # github.com/CSAILVision/ADE20K, utils/utils_ade20k.py, loadAde20K
    return (red << 16) + (green << 8) + blue if encoding == "colours" else red // 10 * 256 + green


def parse_code(section: Section, key: str, value: Any, encoding: Encoding) -> int:
    """The code of a value written in YAML: a whole number, or a colour as "R G B" or [R, G, B].

    Args:
        section, key: its location in the YAML, for the message.
        value: as read from the YAML.
        encoding: of the dataset.

    Raises:
        ConfigError: the value has another form or range.
    """
    if encoding != "colours":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < CODES[encoding]:
            raise section.error(key, f"a label value must be a whole number from 0 to {CODES[encoding] - 1}.")
        return value
    parts = re.findall(r"\d+", value) if isinstance(value, str) and re.fullmatch(r"[\d ,]+", value) else value
    if not isinstance(parts, list) or len(parts) != 3:
        raise section.error(key, "a colour must be three whole numbers from 0 to 255: red, green, blue.")
    red, green, blue = (int(section.as_number(key, _as_digits(part), 0, 255)) for part in parts)
    return (red << 16) + (green << 8) + blue


def _as_digits(part: Any) -> Any:
    """The number that a text of digits means; anything else is returned unchanged and refused later."""
    return int(part[:4]) if isinstance(part, str) and part.isdecimal() else part


def describe_code(code: int, encoding: Encoding) -> str:
    """A code as text: "value 7", "colour 128 64 128"."""
    return f"colour {code >> 16} {code >> 8 & 255} {code & 255}" if encoding == "colours" else f"value {code}"
