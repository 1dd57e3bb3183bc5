"""Teaching a network one more class from a few masked pictures, without training: ONNX in, ONNX and card out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, ModelError
from seg_perception.few_shot.examples import Example, read_examples
from seg_perception.few_shot.feature_extractor import Eye, Sight, learnable_pixels
from seg_perception.few_shot.fit import Direction, fit_direction
from seg_perception.few_shot.head import find_head, with_class
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.prepared_graphs import load_card, prepare
from seg_perception.model.card import ModelCard, file_sha256
from seg_perception.model.logit_calibration import LogitScaling
from seg_perception.utils.visualization import most_probable


@dataclass(frozen=True)
class LeftOut:
    """How a class taught from the other pictures did on one that was left out, by the most probable class.

    Attributes:
        name: of the picture.
        hits: pixels of the class that were found.
        marked: pixels of the class.
        found: pixels decided for the class.
        pixels: of the picture.
    """

    name: str
    hits: int
    marked: int
    found: int
    pixels: int

    @property
    def iou(self) -> float:
        """Intersection over union of the class, 0..1."""
        return self.hits / (self.marked + self.found - self.hits)

    @property
    def taken(self) -> float:
        """Share of the pixels outside the mask that now belong to the class: what the old classes lost, 0..1."""
        return (self.found - self.hits) / (self.pixels - self.marked)


@dataclass(frozen=True)
class Lesson:
    """What came of teaching.

    Attributes:
        model: the new ONNX file; its card lies beside it.
        card: the new card.
        left_out: each picture judged by what the others taught; empty when there was only one.
    """

    model: Path
    card: ModelCard
    left_out: tuple[LeftOut, ...]

    @property
    def total(self) -> LeftOut | None:
        """All pictures together; None when there was only one."""
        if not self.left_out:
            return None
        counts = zip(*((one.hits, one.marked, one.found, one.pixels) for one in self.left_out), strict=True)
        return LeftOut("all", *(sum(count) for count in counts))


def teach(
    model: Path,
    name: str,
    images: Sequence[Path],
    masks: Sequence[Path],
    out: Path,
    colour: tuple[int, int, int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Lesson:
    """Add a class to a network.

    Args:
        model: ONNX file with its card beside it; neither is changed.
        name: of the new class.
        images: image files.
        masks: as many mask images in the same order; every pixel that is not black is the class.
        out: the ONNX file to write; its card goes beside it.
        colour: RGB of the class; by default one unlike all others.
        progress: called with fits done and in all.

    Raises:
        ConfigError: the class is known already, its colour is taken, `out` exists, or a picture cannot be used.
        ModelError: the network cannot be used, or does not end in a classifier that a class can be added to.
    """
    old = load_card(model, None)
    _check(old, name, colour, out)
    network = read_network(model, old, batch=1, prefix="")
    eye = Eye(network, find_head(network, model), old, model)
    pictures = read_examples(images, masks, old)
    sights = [eye.see(picture) for picture in pictures]
    scaling = old.scaling("fp32")
    pixels = [learnable_pixels(sight, picture, scaling) for sight, picture in zip(sights, pictures, strict=True)]

    fits = len(pictures) + 1 if len(pictures) > 1 else 1
    direction = fit_direction(pixels)
    progress(1, fits)
    left_out = []
    for index in range(fits - 1):
        without = fit_direction(pixels[:index] + pixels[index + 1 :])
        left_out.append(_judge(pictures[index], sights[index], without, scaling))
        progress(index + 2, fits)

    # The graph divides all logits by the temperature, the new one too.
    weights = np.asarray(direction.weights * scaling.temperature, np.float32)
    parts = np.split(weights, np.cumsum(eye.widths)[:-1])
    taught = with_class(network, eye.head, parts, direction.bias * scaling.temperature)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(taught, out)
    lesson = Lesson(out, old, tuple(left_out))
    card = _card(old, name, colour or _unlike(old.colours), [picture.name for picture in pictures], lesson)
    try:
        prepare(out, card, GraphSpec(cells=1))
    except ModelError:
        out.unlink()
        raise
    card.write(out.with_suffix(".yaml"))
    return replace(lesson, card=card)


def _check(card: ModelCard, name: str, colour: tuple[int, int, int] | None, out: Path) -> None:
    if name in card.classes:
        raise ConfigError(
            f"'{name}' is a class of '{card.name}' already; give the new class a name of its own, or train the network "
            "with more pictures of this one."
        )
    if colour is not None and colour in {tuple(taken) for taken in card.colours.tolist()}:
        raise ConfigError(f"the colour {' '.join(map(str, colour))} belongs to another class; choose another or none.")
    for path in (out, out.with_suffix(".yaml")):
        if path.exists():
            raise ConfigError(f"{path}: exists already; name another file with --out, or remove it.")


def _judge(example: Example, sight: Sight, direction: Direction, scaling: LogitScaling) -> LeftOut:
    height, width = example.mask.shape
    logit = np.tensordot(direction.weights, sight.features, 1) + direction.bias
    logits = np.concatenate([sight.logits, logit[None].astype(np.float32) * np.float32(scaling.temperature)])
    calibrated = _one_more(scaling).apply(logits - logits.max(axis=0))
    found = most_probable(calibrated, width, height) == len(sight.logits)
    return LeftOut(
        name=example.name,
        hits=int((found & example.mask).sum()),
        marked=int(example.mask.sum()),
        found=int(found.sum()),
        pixels=found.size,
    )


def _card(
    old: ModelCard, name: str, colour: tuple[int, int, int], pictures: Sequence[str], lesson: Lesson
) -> ModelCard:
    figures: dict[str, Any] = {"pictures": len(pictures)}
    if lesson.total is not None:
        figures |= {"iou_left_out": round(lesson.total.iou, 4), "taken_from_others": round(lesson.total.taken, 4)}
    # What was measured before holds for the network as it was.
    measured = dict(old.measured) if "taught" in old.measured else {"before_teaching": dict(old.measured)}
    measured["taught"] = {**measured.get("taught", {}), name: figures}
    count = f"{len(pictures)} masked picture{'s' if len(pictures) > 1 else ''}"
    return replace(
        old,
        name=f"{old.name}+{name}",
        classes=(*old.classes, name),
        colours=np.vstack([old.colours, np.array(colour, np.uint8)]),
        calibration={precision: _one_more(scaling) for precision, scaling in old.calibration.items()},
        sha256=file_sha256(lesson.model),
        training_data=f"{old.training_data} {name} was taught afterwards from {count} ({', '.join(pictures)}).",
        measured=measured,
    )


def _one_more(scaling: LogitScaling) -> LogitScaling:
    """The same for one class more, whose logit is only divided by the temperature."""
    return replace(scaling, scale=(*scaling.scale, 1.0), bias=(*scaling.bias, 0.0)) if scaling.scale else scaling


def _unlike(colours: NDArray[np.uint8]) -> tuple[int, int, int]:
    """The web-safe colour that is furthest from all of these."""
    steps = np.array(list(product(range(0, 256, 51), repeat=3)))
    distance = np.linalg.norm(steps[:, None] - colours.astype(np.int64)[None], axis=2).min(axis=1)
    red, green, blue = steps[distance.argmax()].tolist()
    return red, green, blue
