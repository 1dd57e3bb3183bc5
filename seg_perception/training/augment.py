"""Augmentation of one training image: scale, rotation, crop, mirror, light, blur; all drawn from one generator."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE, Sample
from seg_perception.settings.yaml_file import Section


@dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentation; the `augmentation` of a plan.

    Attributes:
        scale: smallest and largest scale factor, drawn log-uniformly.
        rotation: standard deviation of the rotation, degrees.
        mirror: probability of a horizontal flip.
        colour: strength of brightness, gamma, colour cast and saturation; 1 is a camera in changing light, 0 none.
        blur: probability of a blur of 0.4 to 1.5 pixels.
        class_mix: probability that half of another image's classes are pasted in.
        cut_mix: probability that a rectangle of another image is pasted in.
    """

    scale: tuple[float, float] = (0.6, 1.8)
    rotation: float = 2.5
    mirror: float = 0.5
    colour: float = 1.0
    blur: float = 0.2
    class_mix: float = 0.0
    cut_mix: float = 0.0


def read_augmentation(settings: Section) -> Augmentation:
    """The optional `augmentation` of a plan's settings; missing keys keep their defaults.

    Raises:
        ConfigError: a key is unknown or out of range.
    """
    if "augmentation" not in settings:
        return Augmentation()
    section = settings.section("augmentation")
    most = {"rotation": 45.0, "colour": 3.0}
    given = {
        field.name: section.number(field.name, 0.0, most.get(field.name, 1.0))
        for field in fields(Augmentation)
        if field.name != "scale" and field.name in section
    }
    scale = Augmentation.scale
    if "scale" in section:
        low, high = section.numbers("scale", 2)
        if not 0.1 <= low <= high <= 10.0:
            raise section.error("scale", "must be [smallest, largest] within 0.1 to 10.")
        scale = (low, high)
    section.finish()
    augmentation = Augmentation(scale=scale, **given)
    if augmentation.class_mix + augmentation.cut_mix > 1.0:
        raise section.error("cut_mix", "and class_mix are probabilities of one draw; together they must not exceed 1.")
    return augmentation


def augment_geometry(
    sample: Sample, crop: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator
) -> Sample:
    """Random scale, rotation, crop and mirror, the same for image and label.

    Args:
        sample: image and label.
        crop: (width, height) of the result; pixels beyond the image get the label IGNORE.
        augmentation: strength.
        rng: random generator; the same state gives the same result.
    """
    height, width = sample.label.shape
    scale = float(np.exp(rng.uniform(*np.log(augmentation.scale))))
    angle = float(rng.normal(0.0, augmentation.rotation))
    mirror = rng.random() < augmentation.mirror
    # One affine map does scale, rotation, mirror and crop in a single pass over the pixels.
    spare_x, spare_y = max(width * scale - crop[0], 0.0), max(height * scale - crop[1], 0.0)
    left, top = rng.uniform(0.0, spare_x) if spare_x else 0.0, rng.uniform(0.0, spare_y) if spare_y else 0.0
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += (width * (scale - 1) / 2 - left, height * (scale - 1) / 2 - top)
    if mirror:
        matrix[0] = (-matrix[0, 0], -matrix[0, 1], crop[0] - 1 - matrix[0, 2])
    image = cv2.warpAffine(sample.image, matrix, crop, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    label = cv2.warpAffine(
        sample.label, matrix, crop, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(IGNORE,)
    )
    return Sample(np.asarray(image, np.uint8), np.asarray(label, np.uint8))


def augment_colour(image: NDArray[np.uint8], augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random exposure, colour cast, gamma, saturation and blur of an image uint8 [H, W, 3] RGB."""
    strength = augmentation.colour
    gain = np.exp(rng.normal(0.0, 0.25 * strength)) * np.exp(rng.normal(0.0, 0.06 * strength, 3))
    gamma = np.exp(rng.normal(0.0, 0.2 * strength))
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** gamma * gain
    table = np.clip(np.rint(levels * 255.0 + rng.normal(0.0, 6.0 * strength)), 0, 255).astype(np.uint8)
    jittered = cv2.LUT(image, table.reshape(1, 256, 3))
    saturation = float(np.exp(rng.normal(0.0, 0.3 * strength)))
    grey = cv2.cvtColor(cv2.cvtColor(jittered, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    jittered = cv2.addWeighted(jittered, saturation, grey, 1.0 - saturation, 0.0)
    if rng.random() < augmentation.blur:
        jittered = cv2.GaussianBlur(jittered, (0, 0), float(rng.uniform(0.4, 1.5)))
    return np.asarray(jittered, np.uint8)
