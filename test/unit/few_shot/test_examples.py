"""Reading masked images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support import tiny_networks as tiny
from support.masked_images import draw_masked_image

from seg_perception.errors import ConfigError
from seg_perception.few_shot.examples import image_of_mask, read_examples

CARD = tiny.card(classes=2)


def test_masks_may_have_any_size_and_colour_and_an_opaque_alpha_channel(tmp_path: Path) -> None:
    _, mask = draw_masked_image(tmp_path, "p", 0)
    drawn = np.zeros((96, 128, 4), np.uint8)
    drawn[..., 2] = cv2.resize(mask.astype(np.uint8) * 200, (128, 96), interpolation=cv2.INTER_NEAREST)
    drawn[..., 3] = 255
    cv2.imwrite(str(tmp_path / "p.png"), drawn)
    (example,) = read_examples([tmp_path / "p.jpg"], [tmp_path / "p.png"], CARD)
    np.testing.assert_array_equal(example.mask, mask)


def test_the_image_of_a_mask_is_the_file_of_the_same_name_next_to_it(tmp_path: Path) -> None:
    draw_masked_image(tmp_path, "p", 0)
    assert image_of_mask(tmp_path / "p.png") == tmp_path / "p.jpg"
    with pytest.raises(ConfigError, match=r"no image of the same name next to it; name the images with --images"):
        image_of_mask(tmp_path / "q.png")
    with pytest.raises(ConfigError, match="there are 1 images and 2 masks"):
        read_examples([tmp_path / "p.jpg"], [tmp_path / "p.png"] * 2, CARD)
