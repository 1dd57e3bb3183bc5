"""Labels that may leave a choice of classes, and their probabilities.

A label names one class, or several of which one is true ("Tree or Grass"). The probability of a label is the sum over
its classes. The predicted label is the most probable of the labels that occur in the data. A class that no occurring
label allows is neither right nor wrong and is never predicted; its probability lowers the confidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE, LabelSpace
from seg_perception.errors import ConfigError


@dataclass(frozen=True, eq=False)
class EvaluationLabels:
    """The L labels that occur in the data of an evaluation.

    Attributes:
        numbers: their numbers in the label space, ascending.
        names: their names.
        membership: float32 [L, K], 1 where a label allows a class; each class belongs to at most one label.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    membership: NDArray[np.float32]

    @classmethod
    def of(cls, labels: Iterable[NDArray[np.uint8]], space: LabelSpace) -> EvaluationLabels:
        """The labels that occur in label images.

        Args:
            labels: uint8 [H, W] each, numbers of `space` or 255.
            space: what they mean.

        Raises:
            ConfigError: two labels that occur allow the same class; then it is ambiguous which one is right.
        """
        counts = np.zeros(256, np.int64)
        for label in labels:
            counts += np.bincount(label.ravel(), minlength=256)
        numbers = tuple(int(number) for number in np.flatnonzero(counts[:IGNORE]))
        membership = np.zeros((len(numbers), len(space.classes)), np.float32)
        for row, number in enumerate(numbers):
            membership[row, list(space.members(number))] = 1.0
        shared = membership.sum(axis=0) > 1
        if shared.any():
            names = ", ".join(space.classes[index] for index in np.flatnonzero(shared))
            raise ConfigError(f"the validation labels name {names} both alone and within a choice; use one of the two.")
        return cls(numbers, tuple(space.name(number) for number in numbers), membership)

    def renumber(self, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A label image with the rows of `membership`, 0..L-1, in place of the label space's numbers; 255 stays."""
        table = np.full(256, IGNORE, np.uint8)
        table[list(self.numbers)] = np.arange(len(self.numbers))
        return np.asarray(table[label], np.uint8)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [K, ...] from logits [K, ...]."""
    shifted = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=0, keepdims=True), np.float32)


def label_probabilities(logits: NDArray[np.float32], membership: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of the labels [L, P] from the classes' logits [K, P] and `EvaluationLabels.membership` [L, K]."""
    return membership @ softmax(logits)


def upsample(logits: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Logits [K, h, w] at the size (H, W) of the labels: [K, H, W], bilinear as in the fused graph."""
    planes = [cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) for plane in logits]
    return np.stack(planes).astype(np.float32, copy=False)
