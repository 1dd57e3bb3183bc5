"""Temperature scaling finds the temperature that spoilt perfect probabilities, and its figures are right."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.errors import ConfigError
from seg_perception.training.calibrate import calibrate
from seg_perception.training.data import Dataset, LabelSpace

SIZE = (64, 48)


@pytest.fixture
def world(tmp_path: Path) -> tuple[Dataset, dict[bytes, np.ndarray]]:
    """Images with known class probabilities, and labels drawn from exactly those."""
    rng = np.random.default_rng(5)
    logits: dict[bytes, np.ndarray] = {}
    images, labels = [], []
    for index in range(6):
        image = rng.integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        truth = rng.normal(0.0, 1.5, (3, SIZE[1], SIZE[0])).astype(np.float32)
        p = np.exp(truth) / np.exp(truth).sum(axis=0)
        label = (rng.random(p.shape[1:]) > p.cumsum(axis=0)[:-1]).sum(axis=0).astype(np.uint8)
        for kind, picture, paths in (("image", image, images), ("label", label, labels)):
            paths.append(tmp_path / f"{index}_{kind}.png")
            cv2.imwrite(str(paths[-1]), picture[:, :, ::-1] if kind == "image" else picture)
        logits[image.tobytes()] = truth
    table = np.arange(256, dtype=np.uint8)
    return Dataset("toy", tuple(images), tuple(labels), table), logits


@pytest.mark.parametrize("spoilt", [0.4, 1.0, 2.5])
def test_the_fitted_temperature_undoes_over_and_under_confidence(world, spoilt: float) -> None:
    dataset, logits = world
    space = LabelSpace(("A", "B", "C"), ())
    result = calibrate(lambda image: logits[image.tobytes()] * np.float32(spoilt), [dataset], space, SIZE)
    assert result.temperature == pytest.approx(spoilt, rel=0.05)
    assert result.ece_after < 0.02
    assert result.nll_after <= result.nll_before + 1e-6
    if spoilt != 1.0:
        assert result.ece_before > 0.05
    assert set(result.iou) == {"A", "B", "C"}
    assert result.mean_iou == pytest.approx(np.mean(list(result.iou.values())))


def test_labels_that_overlap_are_refused(world) -> None:
    dataset, logits = world
    table = np.arange(256, dtype=np.uint8)
    table[2] = 3  # the third label now says "A or B", while A and B are labelled on their own too
    overlapping = Dataset("toy", dataset.images, dataset.labels, table)
    with pytest.raises(ConfigError, match="both alone and within a choice"):
        calibrate(lambda image: logits[image.tobytes()], [overlapping], LabelSpace(("A", "B", "C"), ((0, 1),)), SIZE)
