"""A calibrated camera: points in its optical frame to pixels, and pixels to rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seg_perception.errors import GeometryError
from seg_perception.geometry.distortion import Lens, lens_of
from seg_perception.settings.yaml_file import load_yaml

MAX_SIDE = 1 << 16
"""Pixels; no sensor has a longer side."""

_FOCAL_LENGTHS = (1e-3, 1e7)  # pixels; within these limits no ray and no pixel overflows
_MAX_CENTER = 1e7  # pixels
# What some drivers call the equidistant model of CameraInfo.
_ALIASES = {"fisheye": "equidistant"}


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one image size. Pixel (0, 0) is the centre of the top left pixel, so its corner is (-0.5, -0.5).

    Attributes:
        width, height: of the image, pixels.
        model: "plumb_bob", "rational_polynomial" or "equidistant", as in sensor_msgs/CameraInfo.
        matrix: K, float64 [3, 3], [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels; read-only.
        distortion: D of CameraInfo; empty for a lens without distortion.

    Raises:
        GeometryError: a value is invalid, or K is all zeros, which means "not calibrated" in ROS.

    Examples:
        >>> k = [400, 0, 319.5, 0, 400, 239.5, 0, 0, 1]
        >>> camera = sp.Camera.from_fields(640, 480, "plumb_bob", k, [0.0] * 5)
        >>> pixels, valid = camera.project(np.array([[0.0, 0.0, 1.0]]))
        >>> pixels.tolist(), valid.tolist()
        ([[319.5, 239.5]], [True])
    """

    width: int
    height: int
    model: str
    matrix: NDArray[np.float64]
    distortion: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise GeometryError(f"the image must be at least 1 x 1 pixels, not {self.width} x {self.height}.")
        if max(self.width, self.height) > MAX_SIDE:
            raise GeometryError(
                f"the image must be at most {MAX_SIDE} pixels wide and high, not {self.width} x {self.height}."
            )
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise GeometryError(f"the camera matrix must be 3x3 finite numbers, not {matrix.tolist()}.")
        if not matrix.any():
            raise GeometryError("the camera is not calibrated (its matrix is all zeros); calibrate it first.")
        if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            focal = f"{matrix[0, 0]:g} and {matrix[1, 1]:g}"
            raise GeometryError(f"the focal lengths in the camera matrix must be positive pixels, not {focal}.")
        if matrix[0, 1] or matrix[1, 0] or matrix[2].tolist() != [0.0, 0.0, 1.0]:
            raise GeometryError(f"the camera matrix must be [fx 0 cx; 0 fy cy; 0 0 1], not {matrix.tolist()}.")
        least, most = _FOCAL_LENGTHS
        if not all(least <= matrix[axis, axis] <= most and abs(matrix[axis, 2]) <= _MAX_CENTER for axis in (0, 1)):
            raise GeometryError(
                f"the camera matrix must have focal lengths of {least:g} to {most:g} pixels and a center within "
                f"{_MAX_CENTER:g} pixels, not {matrix[:2].tolist()}; calibrate the camera again."
            )
        lens_of(self.model, self.distortion)
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def from_yaml(cls, path: Path | str) -> Camera:
        """Read a calibration as camera_info_manager and camera_calibration write it.

        Other keys (camera_name, rectification_matrix, projection_matrix, those of other tools) are ignored: images are
        used unrectified, as they leave the camera.

        Raises:
            ConfigError: the file or one of its values is wrong.
        """
        content = load_yaml(path)
        width = content.integer("image_width", 1, MAX_SIDE)
        height = content.integer("image_height", 1, MAX_SIDE)
        model = content.text("distortion_model")
        matrix = content.section("camera_matrix").numbers("data", 9)
        distortion = content.section("distortion_coefficients").numbers("data")
        try:
            return cls.from_fields(width, height, model, matrix, distortion)
        except GeometryError as error:
            raise content.error("", str(error)) from None

    @classmethod
    def from_fields(cls, width: int, height: int, model: str, k: ArrayLike, d: Sequence[float]) -> Camera:
        """Make a camera from plain values.

        Args:
            width: pixels.
            height: pixels.
            model: distortion_model; "" means no distortion where `d` is empty or all zeros.
            k: 9 numbers, row by row, or [3, 3].
            d: distortion coefficients.

        Raises:
            GeometryError: a value is invalid, or the camera is not calibrated.
        """
        matrix = np.asarray(k, dtype=np.float64)
        if matrix.size != 9:
            raise GeometryError(f"the camera matrix must have 9 numbers, not {matrix.size}.")
        distortion = tuple(float(value) for value in d)
        if not model and not any(distortion):
            model, distortion = "plumb_bob", ()
        return cls(int(width), int(height), _ALIASES.get(model, model), matrix.reshape(3, 3), distortion)

    @classmethod
    def from_info(
        cls, width: int, height: int, model: str, k: ArrayLike, d: Sequence[float], p: ArrayLike, image_topic: str
    ) -> Camera:
        """Make a camera from the fields of a sensor_msgs/CameraInfo message and the name of the image topic.

        Images on a topic named image_rect... are rectified: their camera matrix is that of the projection matrix P,
        without distortion (sensor_msgs/CameraInfo).

        Args:
            width: pixels.
            height: pixels.
            model: distortion_model.
            k: 9 numbers, row by row.
            d: distortion coefficients.
            p: 12 numbers, row by row.
            image_topic: with or without namespaces.

        Raises:
            GeometryError: a value is invalid, or the camera is not calibrated.
        """
        if any(part.startswith("image_rect") for part in image_topic.split("/")):
            return cls.from_fields(width, height, "", np.reshape(p, (3, 4))[:, :3], ())
        return cls.from_fields(width, height, model, k, d)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Camera) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Project points into the image.

        Args:
            points: [..., 3] in the optical frame, metres.

        Returns:
            pixels: float64 [..., 2] (u, v); (-1, -1) for points that the lens cannot map.
            valid: bool [...], False behind the camera, beyond the fold of the distortion and outside of the image.
        """
        x, y, seen = self._lens.distort(np.asarray(points, dtype=np.float64))
        u = np.where(seen, x * self.matrix[0, 0] + self.matrix[0, 2], -1.0)
        v = np.where(seen, y * self.matrix[1, 1] + self.matrix[1, 2], -1.0)
        return np.stack([u, v], axis=-1), self._inside(u, v)

    def rays(self, pixels: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The viewing directions of pixels.

        Args:
            pixels: [..., 2] (u, v), inside or outside of the image.

        Returns:
            rays: float64 [..., 3], of length 1, in the optical frame.
            valid: bool [...], False where no direction before the fold of the distortion maps to the pixel.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        x = (pixels[..., 0] - self.matrix[0, 2]) / self.matrix[0, 0]
        y = (pixels[..., 1] - self.matrix[1, 2]) / self.matrix[1, 1]
        return self._lens.undistort(x, y)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for images resized to width x height pixels: (u', v') = (u + 0.5)·scale - 0.5."""
        matrix = self.matrix.copy()
        for axis, scale in enumerate((width / self.width, height / self.height)):
            matrix[axis, axis] *= scale
            matrix[axis, 2] = (matrix[axis, 2] + 0.5) * scale - 0.5
        return Camera(width, height, self.model, matrix, self.distortion)

    @property
    def _lens(self) -> Lens:
        return lens_of(self.model, self.distortion)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.width, self.height, self.model, self.matrix.tobytes(), self.distortion

    def _inside(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (u >= -0.5) & (u <= self.width - 0.5) & (v >= -0.5) & (v <= self.height - 0.5)
        return inside
