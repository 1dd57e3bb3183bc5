"""The pictures a class is taught from: each an image and a mask of where the class is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.model.card import ModelCard
from seg_perception.sensor_data.images.scaled import at_network_size

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True, eq=False)
class Example:
    """One masked picture at the network's input size.

    Attributes:
        name: of the image file, for reports.
        image: uint8 [H, W, 3], channels in the card's order.
        mask: bool [H, W], true where the class is.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def image_beside(mask: Path) -> Path:
    """The image that a mask belongs to when none is named: the one of the same stem beside it.

    Raises:
        ConfigError: there is none, or there are several.
    """
    found = [
        path
        for path in sorted(mask.parent.glob(f"{mask.stem}.*"))
        if path != mask and path.suffix.lower() in _IMAGE_SUFFIXES
    ]
    if len(found) != 1:
        what = "no image" if not found else f"{len(found)} images"
        raise ConfigError(f"{mask}: {what} of the same name beside it; name the images with --images.")
    return found[0]


def read_examples(images: Sequence[Path], masks: Sequence[Path], card: ModelCard) -> list[Example]:
    """Read masked pictures and bring them to the network's size.

    Args:
        images: image files.
        masks: as many mask images in the same order; every pixel that is not black is the class.
        card: of the network.

    Raises:
        ConfigError: their numbers differ, a file cannot be decoded, or a mask is empty or covers everything.
    """
    if len(images) != len(masks):
        raise ConfigError(f"there are {len(images)} images and {len(masks)} masks; give every image its mask.")
    return [_read(image, mask, card) for image, mask in zip(images, masks, strict=True)]


def _read(image_path: Path, mask_path: Path, card: ModelCard) -> Example:
    image = _decoded(image_path, cv2.IMREAD_COLOR)
    drawn = _decoded(mask_path, cv2.IMREAD_UNCHANGED)
    # A fourth channel is opacity, which paint programs leave at its maximum everywhere.
    mask = (drawn[:, :, :3] if drawn.ndim == 3 else drawn[:, :, None]).any(axis=2)
    size = (card.width, card.height)
    mask = np.asarray(cv2.resize(np.asarray(mask, np.uint8), size, interpolation=cv2.INTER_NEAREST)) > 0
    if mask.all() or not mask.any():
        raise ConfigError(
            f"{mask_path}: marks {'everything' if mask.any() else 'nothing'} at {card.width}x{card.height}; mark the "
            "class in white and leave the rest black."
        )
    sized = at_network_size(np.asarray(image, np.uint8), card.width, card.height, "bgr", card.channel_order)
    return Example(image_path.name, sized, mask)


def _decoded(path: Path, flags: int) -> NDArray[np.generic]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; check the path.")
    image = cv2.imread(str(path), flags)
    if image is None:
        raise ConfigError(f"{path}: is not an image that can be decoded; replace it.")
    return image
