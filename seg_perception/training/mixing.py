"""Mixes two training images: ClassMix pastes whole classes by their masks, CutMix a rectangle.

Both move pixels together with their labels, so every pixel keeps its label.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE, Sample


def class_mix(sample: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """Paste half of the donor's classes, drawn at random, over the sample (Olsson et al., *ClassMix*, WACV 2021).

    An odd number is rounded down, as in the paper. A single class is not pasted, as it would cover the whole sample.
    Unlabelled pixels of the donor are never pasted.

    Args:
        sample, donor: of the same size.
        rng: random generator.
    """
    present = np.setdiff1d(np.unique(donor.label), [IGNORE])
    chosen = rng.choice(present, len(present) // 2, replace=False)
    return _pasted(sample, donor, np.isin(donor.label, chosen))


def cut_mix(sample: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """Paste a rectangle of the donor over the sample at the same position (Yun et al., *CutMix*, ICCV 2019).

    Its share of the area is uniform in [0, 1]. It has the aspect ratio of the image and is clipped at its edges.
    """
    height, width = sample.label.shape
    side = math.sqrt(rng.random())
    centre = rng.random(2) * (height, width)
    top, left = np.rint(np.maximum(centre - np.array((height, width)) * side / 2, 0)).astype(int)
    bottom, right = np.rint(centre + np.array((height, width)) * side / 2).astype(int)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return _pasted(sample, donor, mask)


def _pasted(sample: Sample, donor: Sample, mask: NDArray[np.bool_]) -> Sample:
    return Sample(
        np.where(mask[:, :, None], donor.image, sample.image),
        np.where(mask, donor.label, sample.label),
    )
