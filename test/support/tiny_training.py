"""Training sets of a few pixels, and plans for a network of a few thousand weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48
SILENT = {"report": lambda line: None}

PLAN = """
training_data: toy squares
licence: none
classes: {Dark: [0, 0, 0], Bright: [255, 255, 255]}
input: {width: 64, height: 48}
network: {channels: [8, 8, 8, 16], dilations: [1], aspp_rates: [2]}
train: {toy: {images: images, labels: labels, values: {0: Dark, 1: Bright}}}
validation: {toy: {images: images, labels: labels, values: {0: Dark, 1: Bright}}}
settings: {epochs: 1, batch: 4, crop: [64, 48], learning_rate: 0.003, weight_decay: 0.01,
  losses: {cross_entropy: 1.0, dice: 0.5}, seed: 3}
"""


def write_squares(folder: Path, count: int = 8) -> Path:
    """Bright squares of one size on dark ground, in images/ and labels/ below `folder`."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for index in range(count):
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        x, y = rng.integers(0, WIDTH // 2), rng.integers(0, HEIGHT // 2)
        label[y : y + HEIGHT // 2, x : x + WIDTH // 2] = 1
        image = (label[:, :, None] * 140 + 50 + rng.integers(-20, 20, (HEIGHT, WIDTH, 3))).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{index}.png"), label)
    return folder


def write_plan(folder: Path, *changes: tuple[str, str], name: str = "plan") -> Path:
    """The plan for `write_squares`, with texts replaced."""
    text = PLAN
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path
