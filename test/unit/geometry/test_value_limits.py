"""Absurd but finite numbers: each is refused with one sentence, without a warning of numpy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.distortion import MAX_COEFFICIENT
from seg_perception.geometry.extrinsics import CameraExtrinsics
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical


def with_k(index: int, value: float) -> Callable[[], object]:
    k = [400.0, 0.0, 319.5, 0.0, 400.0, 239.5, 0.0, 0.0, 1.0]
    k[index] = value
    return lambda: Camera.from_fields(640, 480, "plumb_bob", k, ())


def with_d(model: str, count: int, index: int, value: float) -> Callable[[], object]:
    d = [0.0] * count
    d[index] = value
    return lambda: Camera.from_fields(640, 480, model, [400, 0, 319.5, 0, 400, 239.5, 0, 0, 1], d)


def mounted(*pose: float) -> Callable[[], object]:
    return lambda: mount_to_base_from_optical(*pose)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "tiny focal length": (with_k(0, 1e-300), "must have focal lengths of 0.001 to 1e+07 pixels and a center within"),
    "huge focal length": (with_k(4, 1e300), "must have focal lengths of 0.001 to 1e+07 pixels and a center within"),
    "huge center": (with_k(2, 1e18), "center within 1e+07 pixels, not [[400.0, 0.0, 1e+18], [0.0, 400.0, 239.5]]; "),
    "k3": (with_d("plumb_bob", 5, 4, 1e308), "coefficients must lie within ±1e+06, not [0.0, 0.0, 0.0, 0.0, 1e+308]; "),
    "k6": (with_d("rational_polynomial", 8, 7, -1e7), "coefficients must lie within ±1e+06, not "),
    "fisheye": (with_d("equidistant", 4, 0, 1e7), "coefficients must lie within ±1e+06, not "),
    "huge image": (
        lambda: Camera.from_fields(2**32 - 1, 480, "", [400, 0, 0, 0, 400, 0, 0, 0, 1], ()),
        "the image must be at most 65536 pixels wide and high, not 4294967295 x 480.",
    ),
    "far mount": (mounted(1e18, 0, 1, 0, 0, 0), "mounted within 100 m of base_link, not at (1e+18, 0, 1); give m"),
    "mount in degrees": (mounted(0, 0, 1, 0, 15, 0), "must lie within one turn, not (0, 15, 0); give radians."),
    "mount that is no number": (mounted(math.nan, 0, 1, 0, 0, 0), "three finite numbers in metres"),
    "extrinsics": (CameraExtrinsics(0, 0, -1e18, 0, 0, 0).base_from_optical, "must be mounted within 100 m"),
    "far away": (
        lambda: Transform.from_xyz_rpy(1e18, 0, 0, 0, 0, 0),
        "a translation must lie within ±1e+09 m, not [1e+18, 0.0, 0.0].",
    ),
    "huge quaternion": (
        lambda: Transform.from_quaternion([0, 0, 0], [1e308, 0, 0, 1]),
        "must be a quaternion (x, y, z, w) of length 1, not",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_an_absurd_number_is_one_sentence(make: Callable[[], object], sentence: str) -> None:
    with warnings.catch_warnings(), pytest.raises(GeometryError) as error:
        warnings.simplefilter("error")
        make()
    assert sentence in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(("model", "count"), [("plumb_bob", 5), ("rational_polynomial", 12), ("equidistant", 4)])
def test_coefficients_at_the_limit_do_not_overflow(model: str, count: int, sign: float) -> None:
    points = np.random.default_rng(1).normal(0, 1e6, (200, 3))
    for index in range(count):
        for value in (MAX_COEFFICIENT, 1e-300):
            distortion = [0.0] * count
            distortion[index] = sign * value
            for focal, center in ((1e-3, 1e7), (1e7, -1e7)):
                k = [focal, 0, center, 0, focal, center, 0, 0, 1]
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    camera = Camera.from_fields(640, 480, model, k, distortion)
                    pixels, _ = camera.project(points)
                    rays, valid = camera.rays(points[:, :2])
                assert np.isfinite(pixels).all()
                assert np.isfinite(rays[valid]).all()


def test_mounts_at_the_limits_are_taken() -> None:
    transform = mount_to_base_from_optical(100.0, -100.0, 100.0, 2 * math.pi, -2 * math.pi, math.pi)
    assert transform.translation.tolist() == [100.0, -100.0, 100.0]
