"""Labelled training images, each of another random world, pose, camera and weather."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from seg_perception.errors import RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.simulation.rendering.render import RenderedView, render
from seg_perception.simulation.world.town import random_world
from seg_perception.simulation.world.world import World

_JPEG_QUALITY = 95


def training_views(seed: int, count: int, camera: Camera) -> Iterator[RenderedView]:
    """Views of many different worlds.

    Each view has its own world and weather, a pose on the road (mostly) or the pavement, 0.5 to 1.6 m high, and
    a focal length within 12 % of the camera's.

    Args:
        seed: view i depends only on `seed` and i.
        count: number of views.
        camera: model and image size.

    Yields:
        RenderedView, labels in the order of `labels.CLASS_NAMES`.
    """
    for number in range(count):
        rng = np.random.default_rng([seed, number, 1])
        world = random_world([seed, number])
        matrix = camera.matrix.copy()
        matrix[[0, 1], [0, 1]] *= rng.uniform(0.88, 1.12)
        yield render(world, replace(camera, matrix=matrix), _random_pose(rng, world), number)


def _random_pose(rng: np.random.Generator, world: World) -> Transform:
    """odom_from_optical on the road or the pavement, clear of obstacles."""
    street = world.street
    for _ in range(40):
        left = rng.random() < 0.65
        side, sign = (street.left, 1.0) if left else (street.right, -1.0)
        turn = 0.0 if left else math.pi * float(rng.random() < 0.7)
        if rng.random() < 0.8:
            d, height = sign * (0.5 * side.road + rng.normal(0.0, 0.6)), rng.uniform(1.1, 1.6)
        else:
            d, height = sign * (side.road + side.verge + rng.uniform(0.3, 0.8) * side.pavement), rng.uniform(0.5, 1.3)
        s = float(rng.uniform(0.0, 60.0) if turn == 0.0 else rng.uniform(70.0, 130.0))
        x, y, heading = street.pose(s, float(d))
        if _is_clear(world, x, y, heading + turn, 5.5 if rng.random() < 0.8 else 3.0):
            break
    yaw = heading + turn + float(rng.normal(0.0, math.radians(25.0 if rng.random() < 0.25 else 6.0)))
    base = Transform.from_xyz_rpy(x, y, 0.0, 0.0, 0.0, yaw)
    roll, pitch = rng.normal(0.0, math.radians(0.8)), rng.normal(math.radians(0.5), math.radians(2.0))
    return base @ mount_to_base_from_optical(0.0, 0.0, float(height), float(roll), float(pitch), 0.0)


def _is_clear(world: World, x: float, y: float, heading: float, distance: float) -> bool:
    """Whether there is no obstacle within 1.2 m to the sides and `distance` (m) ahead."""
    offset = world.scene.corners[..., :2] - (x, y)
    along = offset @ (math.cos(heading), math.sin(heading))
    aside = offset @ (-math.sin(heading), math.cos(heading))
    ahead = (along.max(axis=1) > -1.0) & (along.min(axis=1) < distance)
    near = (aside.max(axis=1) > -1.2) & (aside.min(axis=1) < 1.2)
    return not np.any(ahead & near & (world.scene.corners[..., 2].min(axis=1) < 2.2))


def write_views(
    folder: Path, seed: int, count: int, camera: Camera, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write training views as images/NNNNN.jpg and labels/NNNNN.png (class index, 255 for none).

    Args:
        folder: made when missing.
        seed: see `training_views`.
        count: number of views.
        camera: model and image size.
        progress: called with (done, count) after each view.

    Raises:
        RecordingError: a file cannot be written.
    """
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(training_views(seed, count, camera)):
        image, labels = folder / "images" / f"{number:05d}.jpg", folder / "labels" / f"{number:05d}.png"
        bgr = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR)
        written = cv2.imwrite(str(image), bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not (written and cv2.imwrite(str(labels), view.labels)):
            raise RecordingError(
                f"{image}: cannot be written; check that the folder is writable and the disk has room."
            )
        if progress is not None:
            progress(number + 1, count)
