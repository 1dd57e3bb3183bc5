"""Training examples of a new class: each an image and a mask of the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.model.card import ModelCard
from seg_perception.sensor_data.images.folder import IMAGE_SUFFIXES
from seg_perception.sensor_data.images.labelled_files import decode_image_file
from seg_perception.sensor_data.images.scaled import at_network_size


@dataclass(frozen=True, eq=False)
class Example:
    """One masked image at the network's input size.

    Attributes:
        name: of the image file, for reports.
        image: uint8 [H, W, 3], channels in the card's order.
        mask: bool [H, W], true where the class is.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def image_of_mask(mask: Path) -> Path:
    """The image of a mask: the file of the same stem in the same folder.

    Raises:
        ConfigError: there is none, or there are several.
    """
    found = [
        path
        for path in sorted(mask.parent.glob(f"{mask.stem}.*"))
        if path != mask and path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if len(found) != 1:
        what = "no image" if not found else f"{len(found)} images"
        raise ConfigError(f"{mask}: {what} of the same name next to it; name the images with --images.")
    return found[0]


def read_examples(images: Sequence[Path], masks: Sequence[Path], card: ModelCard) -> list[Example]:
    """Read images and masks and resize them to the network's input size.

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
    # A fourth channel is opacity, which paint programs set to its maximum everywhere.
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
    if not path.exists():
        raise ConfigError(f"{path}: no such file; check the path.")
    return decode_image_file(path, flags)
