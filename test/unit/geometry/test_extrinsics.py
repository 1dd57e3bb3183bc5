from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.extrinsics import CameraExtrinsics, fit_extrinsics_to_lane

K = np.array([[1150.0, 0, 640], [0, 1150, 360], [0, 0, 1]])
CAMERA = Camera(1280, 720, "plumb_bob", K, (-0.25, 0.02, -0.0006, 0.0002, 0.0))
LANE = 3.7


def line_in_image(extrinsics: CameraExtrinsics, y: float) -> np.ndarray:
    """Pixels of a line on the ground, parallel to the robot's x axis."""
    x = np.linspace(6, 40, 30)
    points = np.column_stack([x, np.full(30, y), np.zeros(30)])
    pixels, valid = CAMERA.project(extrinsics.base_from_optical().inverse().apply(points))
    return pixels[valid]


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 2.0), st.floats(-0.05, 0.15), st.floats(-0.1, 0.1), st.floats(1.2, 2.5))
def test_the_extrinsics_are_recovered_from_an_image_of_a_lane(z: float, pitch: float, yaw: float, left: float) -> None:
    extrinsics = CameraExtrinsics(0.0, 0.0, z, 0.0, pitch, yaw)
    fitted = fit_extrinsics_to_lane(
        CAMERA, line_in_image(extrinsics, left), line_in_image(extrinsics, left - LANE), LANE
    )
    assert (fitted.z, fitted.pitch, fitted.yaw) == pytest.approx((z, pitch, yaw), abs=1e-6)
    assert (fitted.x, fitted.y, fitted.roll) == (0, 0, 0)


LEFT, RIGHT = [[290, 660], [580, 460]], [[1020, 660], [700, 460]]


@pytest.mark.parametrize(
    ("left", "right", "width", "said"),
    [
        (RIGHT, LEFT, 3.7, "to the right of the right one; swap"),
        (LEFT, LEFT, 3.7, "one and the same"),
        ([[290, 460], [580, 660]], [[1020, 460], [700, 660]], 3.7, "do not run together upwards"),
        ([[290, 660], [290, 660]], RIGHT, 3.7, "left lane line has only one distinct pixel"),
        (LEFT, [[1020, 660]], 3.7, "right lane line must be two or more pixels"),
        (LEFT, [[1020, 660], [math.nan, 460]], 3.7, "right lane line must be two or more pixels"),
        (LEFT, [[1020, 660], [9000, 460]], 3.7, r"lens cannot see pixels .*9000.* of the right"),
        (LEFT, RIGHT, 0.0, "lane is 0.0 m wide"),
    ],
)
def test_pixels_that_do_not_define_a_lane_are_refused(left: list, right: list, width: float, said: str) -> None:
    with pytest.raises(GeometryError, match=said):
        fit_extrinsics_to_lane(CAMERA, left, right, width)


def line_pixels(image: np.ndarray, near: tuple[int, int], far: tuple[int, int]) -> np.ndarray:
    """Centre of the lane marking in each row, close to the straight line between two pixels."""
    blue, green, red = (channel.astype(int) for channel in cv2.split(image))
    yellow = (red > 150) & (green > 110) & (blue < green - 50)
    white = image.min(axis=2) > 170
    pixels = []
    for v in range(460, 668):
        u = far[0] + (near[0] - far[0]) * (v - far[1]) / (near[1] - far[1])
        margin = 8 + 25 * (v - 450) / 230
        first = int(u - margin)
        paint = np.flatnonzero((yellow | white)[v, first : int(u + margin)])
        if len(paint) >= 2 and np.ptp(paint) < 40:
            pixels.append((first + paint.mean(), v))
    return np.array(pixels)


def on_ground(cam: Camera, extrinsics: CameraExtrinsics, pixels: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the straight line y(x) through pixels projected to the ground."""
    base_from_optical = extrinsics.base_from_optical()
    directions = cam.rays(pixels)[0] @ base_from_optical.rotation.T
    x, y = (base_from_optical.translation - directions * extrinsics.z / directions[:, 2:])[:, :2].T
    slope, offset = np.polyfit(x, y, 1)
    return slope, offset


def test_the_lane_of_a_real_road_is_parallel_and_of_the_right_width(real_data: Path) -> None:
    folder = real_data / "road_calibrated"
    cam = Camera.from_yaml(folder / "camera.yaml")
    # Approximate ends of the two lines of the robot's own lane, near and far. In the first image the left line is
    # yellow and the right one dashed; in the second image it is the other way round, and both are white.
    lines = {
        "straight_lines1.jpg": (((255, 686), (565, 474)), ((1020, 662), (705, 463))),
        "straight_lines2.jpg": (((285, 680), (600, 442)), ((1040, 676), (680, 443))),
    }
    pixels = {}
    for name, ends in lines.items():
        image = cv2.imread(str(folder / "images" / name))
        pixels[name] = [line_pixels(image, *pair) for pair in ends]
        assert min(map(len, pixels[name])) > 40
    extrinsics = fit_extrinsics_to_lane(cam, *pixels["straight_lines1.jpg"], LANE)
    assert (
        1.0 < extrinsics.z < 1.6 and abs(extrinsics.pitch) < math.radians(5) and abs(extrinsics.yaw) < math.radians(5)
    )
    # The second image was taken elsewhere, with the car tilted a little differently.
    for name, parallel_to in (("straight_lines1.jpg", 0.5), ("straight_lines2.jpg", 1.0)):
        (left_slope, left), (right_slope, right) = (on_ground(cam, extrinsics, line) for line in pixels[name])
        assert abs(math.degrees(math.atan(left_slope) - math.atan(right_slope))) < parallel_to
        for x in (5, 10, 15, 20, 25):
            assert left + left_slope * x - right - right_slope * x == pytest.approx(LANE, abs=0.2)
