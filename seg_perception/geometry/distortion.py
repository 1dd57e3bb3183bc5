"""Lens distortion: directions in the optical frame to distorted coordinates on the plane z = 1, and back.

The two families of sensor_msgs/CameraInfo (sensor_msgs/distortion_models.hpp), with OpenCV's formulas:
Brown-Conrady for plumb_bob and rational_polynomial (OpenCV documentation, "Camera Calibration and 3D Reconstruction"),
Kannala-Brandt for equidistant (the same, "Fisheye camera model").

Far from the axis these polynomials fold back: a direction further out maps nearer to the centre, on top of another one.
Beyond this fold the model is invalid. So every lens knows its largest valid radius and marks directions beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import GeometryError
from seg_perception.settings.yaml_file import did_you_mean

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_COEFFICIENT = 1e6
"""No calibration has larger coefficients, and the polynomials of smaller ones do not overflow."""

# 87 degrees off axis: no perspective lens sees further out, and larger tangents lose digits.
_LARGEST_RADIUS = 19.0
# At a pole the distorted radius is infinite; a thousandth before it, it is already far outside of any image.
_BEFORE_POLE = 0.999
_TABLE_SIZE = 1024
_DIRECTIONS = 72
_MAX_NEWTON_STEPS = 20
# Of the plane z = 1; at a focal length of 1000 pixels a hundred-millionth of a pixel.
_CONVERGED = 1e-11


class Lens(Protocol):
    """Interface of both families."""

    def distort(self, points: Floats) -> tuple[Floats, Floats, Bools]:
        """Optical-frame points [..., 3] to plane coordinates x, y [...] and whether the lens sees each."""

    def undistort(self, x: Floats, y: Floats) -> tuple[Floats, Bools]:
        """Plane coordinates [...] to unit rays [..., 3] and whether there is such a ray."""


class BrownConrady:
    """Radial, tangential and thin-prism distortion.

    With s = x² + y² of the undistorted point:
    x' = x·ρ(s) + 2·p1·x·y + p2·(s + 2x²) + s1·s + s2·s², y' likewise, and
    ρ(s) = (1 + k1·s + k2·s² + k3·s³) / (1 + k4·s + k5·s² + k6·s³).

    Args:
        coefficients: (k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4]]]); missing ones are 0.
    """

    def __init__(self, coefficients: Sequence[float]) -> None:
        padded = [*coefficients, *[0.0] * (12 - len(coefficients))]
        k1, k2, self._p1, self._p2, k3, k4, k5, k6, self._s1, self._s2, self._s3, self._s4 = padded
        self._numerator = np.polynomial.Polynomial([1.0, k1, k2, k3])
        self._denominator = np.polynomial.Polynomial([1.0, k4, k5, k6])
        self._is_identity = not any(padded)
        self._is_radial = not any((self._p1, self._p2, self._s1, self._s2, self._s3, self._s4))
        self._max_radius = self._largest_radius()
        self._radii = np.linspace(0.0, self._max_radius, _TABLE_SIZE)
        self._distorted_radii = self._radii * self._radial(self._radii**2)

    def distort(self, points: Floats) -> tuple[Floats, Floats, Bools]:
        """See Lens."""
        x, y, depth = points[..., 0], points[..., 1], points[..., 2]
        valid = (depth > 0) & (x * x + y * y <= (self._max_radius * depth) ** 2)
        # Invalid points are set to 0 so that their quotients and polynomials do not overflow.
        depth = np.where(valid, depth, 1.0)
        return (*self._map(np.where(valid, x, 0.0) / depth, np.where(valid, y, 0.0) / depth), valid)

    def undistort(self, x: Floats, y: Floats) -> tuple[Floats, Bools]:
        """See Lens."""
        if self._is_identity:
            return _unit_rays(x, y), x * x + y * y <= self._max_radius**2
        radius = np.hypot(x, y)
        start = np.interp(radius, self._distorted_radii, self._radii)
        scale = np.divide(start, radius, out=np.ones_like(radius), where=radius > 0)
        u, v = x * scale, y * scale
        for _ in range(_MAX_NEWTON_STEPS):
            mapped_x, mapped_y = self._map(u, v)
            error_x, error_y = x - mapped_x, y - mapped_y
            close = np.maximum(np.abs(error_x), np.abs(error_y)) <= _CONVERGED * (1 + radius)
            if close.all():
                break
            xx, xy, yx, yy = self._jacobian(u, v)
            determinant = xx * yy - xy * yx
            moving = ~close & (determinant > 0)
            if not moving.any():
                break
            safe = np.where(moving, determinant, 1.0)
            u = np.where(moving, u + (yy * error_x - xy * error_y) / safe, u)
            v = np.where(moving, v + (xx * error_y - yx * error_x) / safe, v)
            # A step beyond the fold would follow the wrong branch; no root lies beyond the fold.
            shrink = np.minimum(1.0, self._max_radius / np.maximum(np.hypot(u, v), 1e-12))
            u, v = u * shrink, v * shrink
        return _unit_rays(u, v), close

    def _radial(self, s: Floats) -> Floats:
        ratio: Floats = self._numerator(s) / self._denominator(s)
        return ratio

    def _map(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        if self._is_identity:
            return x, y
        s = x * x + y * y
        radial = self._radial(s)
        mapped_x, mapped_y = x * radial, y * radial
        if not self._is_radial:
            cross = 2 * x * y
            mapped_x += self._p1 * cross + self._p2 * (s + 2 * x * x) + s * (self._s1 + s * self._s2)
            mapped_y += self._p2 * cross + self._p1 * (s + 2 * y * y) + s * (self._s3 + s * self._s4)
        return mapped_x, mapped_y

    def _jacobian(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """dx'/dx, dx'/dy, dy'/dx, dy'/dy."""
        s = x * x + y * y
        radial = self._radial(s)
        slope = 2 * (self._numerator.deriv()(s) - radial * self._denominator.deriv()(s)) / self._denominator(s)
        mixed = slope * x * y + 2 * (self._p1 * x + self._p2 * y)
        prism_x, prism_y = 2 * (self._s1 + 2 * self._s2 * s), 2 * (self._s3 + 2 * self._s4 * s)
        return (
            radial + slope * x * x + 2 * self._p1 * y + 6 * self._p2 * x + prism_x * x,
            mixed + prism_x * y,
            mixed + prism_y * x,
            radial + slope * y * y + 6 * self._p1 * y + 2 * self._p2 * x + prism_y * y,
        )

    def _largest_radius(self) -> float:
        """The radius up to which the map is one to one: before d(r·ρ)/dr or ρ's denominator reaches 0.

        Tangential and prism terms move the fold a little, differently in every direction: there the first radius
        where the determinant of the Jacobian is not positive, in whichever direction, ends it.
        """
        twice_s = np.polynomial.Polynomial([0.0, 2.0])
        n, d = self._numerator, self._denominator
        derivative = (n + twice_s * n.deriv()) * d - twice_s * n * d.deriv()
        turn, pole = (math.sqrt(_first_root(polynomial, _LARGEST_RADIUS**2)) for polynomial in (derivative, d))
        fold = min(turn, _BEFORE_POLE * pole)
        if self._is_radial:
            return fold
        angles = np.linspace(0.0, 2 * np.pi, _DIRECTIONS, endpoint=False)
        # The fold itself is left out: there the determinant is 0 already without these terms.
        radii = np.linspace(0.0, fold, _TABLE_SIZE)[:-1]
        xx, xy, yx, yy = self._jacobian(np.outer(radii, np.cos(angles)), np.outer(radii, np.sin(angles)))
        folded = (xx * yy - xy * yx <= 0).any(axis=1)
        return float(radii[max(int(np.argmax(folded)) - 1, 0)]) if folded.any() else float(radii[-1])


class Equidistant:
    """Fisheye: the angle θ off the axis becomes the radius θ·(1 + k1·θ² + k2·θ⁴ + k3·θ⁶ + k4·θ⁸).

    Directions behind the plane z = 0 are invalid even where the lens would see them: CameraInfo does not say where the
    image circle ends.

    Args:
        coefficients: (k1, k2, k3, k4).
    """

    def __init__(self, coefficients: Sequence[float]) -> None:
        self._series = np.polynomial.Polynomial([1.0, *coefficients])
        twice_s = np.polynomial.Polynomial([0.0, 2.0])
        self._derivative = self._series + twice_s * self._series.deriv()
        self._max_angle = math.sqrt(_first_root(self._derivative, (math.pi / 2) ** 2))
        self._angles = np.linspace(0.0, self._max_angle, _TABLE_SIZE)
        self._radii = self._angles * self._series(self._angles**2)

    def distort(self, points: Floats) -> tuple[Floats, Floats, Bools]:
        """See Lens."""
        x, y, depth = points[..., 0], points[..., 1], points[..., 2]
        sideways = np.hypot(x, y)
        angle = np.arctan2(sideways, depth)
        valid = (depth > 0) & (angle <= self._max_angle)
        radius = angle * self._series(angle**2)
        scale = np.divide(radius, sideways, out=np.zeros_like(sideways), where=valid & (sideways > 0))
        return x * scale, y * scale, valid

    def undistort(self, x: Floats, y: Floats) -> tuple[Floats, Bools]:
        """See Lens."""
        radius = np.hypot(x, y)
        valid = radius <= self._radii[-1]
        angle = np.interp(radius, self._radii, self._angles)
        for _ in range(_MAX_NEWTON_STEPS):
            error = radius - angle * self._series(angle**2)
            close = np.abs(error) <= _CONVERGED
            if (close | ~valid).all():
                break
            slope = np.maximum(self._derivative(angle**2), 1e-12)
            angle = np.clip(np.where(close, angle, angle + error / slope), 0.0, self._max_angle)
        scale = np.divide(np.sin(angle), radius, out=np.zeros_like(radius), where=radius > 0)
        return np.stack([x * scale, y * scale, np.cos(angle)], axis=-1), valid & close


# How many coefficients each model of CameraInfo may have; none at all is a lens without distortion.
MODELS = {"plumb_bob": (0, 4, 5), "rational_polynomial": (0, 8, 12, 14), "equidistant": (4,)}


@lru_cache(maxsize=64)
def lens_of(model: str, coefficients: tuple[float, ...]) -> Lens:
    """The lens of a CameraInfo distortion model; cached by its arguments.

    Raises:
        GeometryError: the model is not known, the number of coefficients does not fit it, one of them is not finite
            or too large, or the sensor is tilted (coefficients 13 and 14 of rational_polynomial).
    """
    if model not in MODELS:
        raise GeometryError(
            f"distortion model '{model}' is not known{did_you_mean(model, MODELS)}; use one of {', '.join(MODELS)}."
        )
    if len(coefficients) not in MODELS[model]:
        counts = " or ".join(str(count) for count in MODELS[model])
        raise GeometryError(f"distortion model {model} takes {counts} coefficients, not {len(coefficients)}.")
    if not all(map(math.isfinite, coefficients)):
        raise GeometryError(f"distortion coefficients must be finite, not {list(coefficients)}.")
    if any(abs(coefficient) > MAX_COEFFICIENT for coefficient in coefficients):
        raise GeometryError(
            f"distortion coefficients must lie within ±{MAX_COEFFICIENT:g}, not {list(coefficients)}; "
            "calibrate the camera again."
        )
    if any(coefficients[12:]):
        raise GeometryError("a tilted sensor (coefficients 13, 14) is not supported; calibrate without it.")
    return Equidistant(coefficients) if model == "equidistant" else BrownConrady(coefficients[:12])


def _unit_rays(x: Floats, y: Floats) -> Floats:
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    unit: Floats = rays / np.sqrt(x * x + y * y + 1)[..., None]
    return unit


def _first_root(polynomial: np.polynomial.Polynomial, end: float) -> float:
    """The smallest root in (0, end], or end where there is none; the polynomial is 1 at 0."""
    # Scaled by the end of the interval, coefficients compare with that 1. Negligible ones are trimmed, because roots()
    # divides by the last one.
    coefficients = np.asarray(polynomial.coef, dtype=np.float64)
    scaled = np.polynomial.Polynomial(coefficients * end ** np.arange(coefficients.size))
    roots = np.asarray(scaled.trim(1e-12).roots())
    real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return end * float(real.min(initial=1.0))
