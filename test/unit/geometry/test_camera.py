from __future__ import annotations

import math
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.camera import Camera

K = np.array([[420.0, 0, 310.0], [0, 430.0, 250.0], [0, 0, 1]])
MODELS = {
    "no distortion": ("plumb_bob", ()),
    "plumb_bob 4": ("plumb_bob", (-0.25, 0.06, 0.001, -0.002)),
    "plumb_bob 5": ("plumb_bob", (-0.25, -0.02, -0.0006, 0.0002, 0.008)),
    "pincushion": ("plumb_bob", (0.2, 0.05, 0.001, 0.001, 0.01)),
    "rational 8": ("rational_polynomial", (0.4, 0.1, 0.0005, -0.0003, 0.01, 0.7, 0.25, 0.03)),
    "thin prism 12": ("rational_polynomial", (0.4, 0.1, 1e-3, 0, 0.01, 0.7, 0.25, 0.03, 2e-3, 1e-4, -1e-3, 2e-4)),
    "untilted 14": ("rational_polynomial", (0.4, 0.1, 0, 0, 0.01, 0.7, 0.25, 0.03, 0, 0, 1e-3, 0, 0, 0)),
    "fisheye": ("equidistant", (0.02, -0.01, 0.003, -0.0005)),
    "fisheye, ideal": ("equidistant", (0, 0, 0, 0)),
}


def camera(model: str, distortion: tuple[float, ...]) -> Camera:
    return Camera(640, 480, model, K, distortion)


def opencv_pixels(points: np.ndarray, cam: Camera) -> np.ndarray:
    zero = np.zeros(3)
    coefficients = np.array(cam.distortion, dtype=np.float64)
    if cam.model == "equidistant":
        return cv2.fisheye.projectPoints(points[None], zero, zero, cam.matrix, coefficients)[0][0]
    return cv2.projectPoints(points, zero, zero, cam.matrix, coefficients)[0][:, 0]


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def cam(request: pytest.FixtureRequest) -> Camera:
    return camera(*request.param)


def points_ahead(count: int = 4000) -> np.ndarray:
    return np.random.default_rng(7).uniform([-6, -5, 2], [6, 5, 8], (count, 3))


def test_projection_agrees_with_opencv(cam: Camera) -> None:
    points = points_ahead()
    pixels, valid = cam.project(points)
    assert valid.mean() > 0.2
    np.testing.assert_allclose(pixels[valid], opencv_pixels(points, cam)[valid], atol=1e-8)


def test_valid_points_are_inside_the_image_to_the_half_pixel(cam: Camera) -> None:
    pixels, valid = cam.project(points_ahead())
    u, v = pixels[..., 0], pixels[..., 1]
    inside = (u >= -0.5) & (u <= 639.5) & (v >= -0.5) & (v <= 479.5)
    np.testing.assert_array_equal(valid, inside)
    assert not valid.all()


def test_rays_agree_with_opencv(cam: Camera) -> None:
    pixels = np.stack(np.meshgrid(np.linspace(-0.5, 639.5, 25), np.linspace(-0.5, 479.5, 20)), axis=-1)
    rays, valid = cam.rays(pixels)
    assert valid.mean() > 0.6 and rays.shape == (20, 25, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1, atol=1e-12)
    coefficients = np.array(cam.distortion, dtype=np.float64)
    flat = pixels.reshape(-1, 1, 2)
    if cam.model == "equidistant":
        flattened = cv2.fisheye.undistortPoints(flat, cam.matrix, coefficients)
    else:
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 1000, 1e-14)
        # OpenCV 5 has merged the two.
        undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
        flattened = undistort(flat, cam.matrix, coefficients, R=np.eye(3), P=np.eye(3), criteria=stop)
    flat_rays = rays[..., :2] / rays[..., 2:]
    np.testing.assert_allclose(flat_rays[valid], flattened.reshape(20, 25, 2)[valid], atol=1e-6)


def test_points_behind_the_camera_or_in_its_plane_are_never_valid(cam: Camera) -> None:
    points = points_ahead()
    for depth in (-points[:, 2], np.zeros(len(points))):
        pixels, valid = cam.project(np.column_stack([points[:, :2], depth]))
        assert not valid.any() and np.isfinite(pixels).all()
    assert not cam.project(np.zeros(3))[1]


def test_points_beyond_the_fold_are_invalid_though_opencv_puts_them_into_the_image() -> None:
    # r(1 + k1 r²) turns round where 1 + 3 k1 r² = 0, here at r = 1.
    cam = camera("plumb_bob", (-1 / 3, 0.0, 0.0, 0.0))
    bearing = np.linspace(0, 2 * np.pi, 50)
    for radius, seen in ((0.5, True), (1.5, False), (1.7, False)):
        points = np.column_stack([radius * np.cos(bearing), radius * np.sin(bearing), np.ones(50)])
        reference = opencv_pixels(points, cam)
        assert ((reference > 0) & (reference < [640, 480])).all()
        np.testing.assert_array_equal(cam.project(points)[1], seen)
    assert cam.project(np.array([[0.9999, 0, 1], [1.0001, 0, 1]]))[1].tolist() == [True, False]


def test_pixels_beyond_the_fold_have_no_ray() -> None:
    cam = camera("plumb_bob", (-1 / 3, 0.0, 0.0, 0.0))
    # The largest distorted radius is 2/3, at 280 pixels right of the centre.
    rays, valid = cam.rays(np.array([[310 + 279.9, 250.0], [310 + 280.1, 250.0], [310 + 400.0, 250.0]]))
    assert valid.tolist() == [True, False, False]
    assert np.isfinite(rays).all()


def test_a_pole_of_the_rational_model_ends_what_is_valid() -> None:
    # The denominator 1 - 0.5 r² is 0 at r = 1.41; beyond it points would come back from the other side.
    cam = camera("rational_polynomial", (0, 0, 0, 0, 0, -0.5, 0, 0))
    points = np.array([[0.3, 0, 1], [1.5, 0, 1], [2.5, 0, 1.0], [8.0, 0, 1.0]])
    assert cam.project(points)[1].tolist() == [True, False, False, False]


def test_a_fisheye_that_folds_before_90_degrees_stops_there() -> None:
    # θ(1 + k1 θ²) turns round at θ = 1 rad.
    cam = camera("equidistant", (-1 / 3, 0, 0, 0))
    angles = np.array([0.5, 0.99, 1.01, 1.3])
    points = np.stack([np.sin(angles), np.zeros(4), np.cos(angles)], axis=-1)
    assert cam.project(points)[1].tolist() == [True, True, False, False]


small = st.floats(-0.004, 0.004)
plumb_bob = st.tuples(st.floats(-0.45, 0.3), st.floats(-0.15, 0.25), small, small, st.floats(-0.1, 0.1))
rational = st.tuples(
    st.floats(-0.5, 1.0),
    st.floats(-0.2, 0.3),
    small,
    small,
    st.floats(-0.05, 0.05),
    st.floats(-0.2, 1.2),
    st.floats(-0.1, 0.4),
    st.floats(-0.05, 0.1),
)
fisheye = st.tuples(*[st.floats(-0.06, 0.06)] * 4)
any_camera = st.one_of(
    plumb_bob.map(lambda d: camera("plumb_bob", d)),
    rational.map(lambda d: camera("rational_polynomial", d)),
    fisheye.map(lambda d: camera("equidistant", d)),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(any_camera, st.integers(0, 1000))
def test_rays_undo_projection_wherever_a_point_is_valid(cam: Camera, seed: int) -> None:
    points = np.random.default_rng(seed).uniform([-3, -3, 0.5], [3, 3, 4], (300, 3))
    pixels, valid = cam.project(points)
    rays, found = cam.rays(pixels[valid])
    directions = points[valid] / np.linalg.norm(points[valid], axis=-1, keepdims=True)
    again, visible = cam.project(rays)
    # Right at the fold a pixel barely moves with its direction, so there only the pixel can be asked for.
    assert found.all() and visible.mean() > 0.99
    np.testing.assert_allclose(again[visible], pixels[valid][visible], atol=1e-6)
    assert (np.abs(rays - directions).max(axis=-1) < 1e-4).mean() > 0.99


@settings(max_examples=60, deadline=None)
@given(any_camera, st.floats(0, 2 * math.pi))
def test_moving_outwards_a_valid_point_moves_outwards_in_the_image(cam: Camera, bearing: float) -> None:
    radius = np.linspace(0, 4, 2000)
    points = np.stack([radius * math.cos(bearing), radius * math.sin(bearing), np.ones_like(radius)], axis=-1)
    pixels, valid = cam.project(points)
    outwards = (np.diff(pixels, axis=0) / [420.0, 430.0]) @ [math.cos(bearing), math.sin(bearing)]
    assert (outwards[valid[1:] & valid[:-1]] > 0).all()


def test_resizing_keeps_the_relative_position_in_the_image(cam: Camera) -> None:
    points = points_ahead()
    pixels, valid = cam.project(points)
    small_pixels, small_valid = cam.resized(160, 240).project(points)
    np.testing.assert_array_equal(small_valid, valid)
    np.testing.assert_allclose(small_pixels[valid] + 0.5, (pixels[valid] + 0.5) * [0.25, 0.5], atol=1e-9)


def test_cameras_with_the_same_values_are_equal() -> None:
    assert camera("plumb_bob", ()) == camera("plumb_bob", ())
    assert len({camera("plumb_bob", ()), camera("plumb_bob", ()), camera("plumb_bob", ()).resized(320, 240)}) == 2


def test_ten_thousand_points_take_about_a_millisecond() -> None:
    cam, points = camera(*MODELS["rational 8"]), points_ahead(10_000)
    cam.project(points)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        cam.project(points)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.003  # 0.2 ms on an idle core of 2024; the rest is for slow and busy machines


CALIBRATION = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [420.0, 0, 310, 0, 430, 250, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.25, -0.02, -0.0006, 0.0002, 0.008]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [420, 0, 310, 0, 0, 430, 250, 0, 0, 0, 1, 0]}
"""


def read(tmp_path: Path, text: str) -> Camera:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    return Camera.from_yaml(path)


def test_a_ros_calibration_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, CALIBRATION) == camera(*MODELS["plumb_bob 5"])


def test_an_empty_list_of_coefficients_is_a_lens_without_distortion(tmp_path: Path) -> None:
    text = CALIBRATION.replace("[-0.25, -0.02, -0.0006, 0.0002, 0.008]", "[]")
    assert read(tmp_path, text) == camera("plumb_bob", ())


def test_the_calibration_of_the_recorded_road_is_read(real_data: Path) -> None:
    cam = Camera.from_yaml(real_data / "road_calibrated" / "camera.yaml")
    assert (cam.width, cam.height, cam.model, len(cam.distortion)) == (1280, 720, "plumb_bob", 5)
    corners = np.array([[0, 0], [1279, 0], [0, 719], [1279, 719.0]])
    rays, valid = cam.rays(corners)
    assert valid.all()
    np.testing.assert_allclose(cam.project(rays)[0], corners, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("image_width: 640\n", "", "'image_width': is missing"),
        ("image_width: 640", "image_width: 0", "'image_width': is 0"),
        ("image_height: 480", "image_height: 480.5", "'image_height': must be a whole number"),
        ("distortion_model: plumb_bob\n", "", "'distortion_model': is missing"),
        ("plumb_bob", "plumbbob", "did you mean 'plumb_bob'"),
        ("0, 0, 1]}\ndist", "0, 1]}\ndist", "'camera_matrix.data': must have 9 numbers, not 8"),
        ("[420.0, 0", "[-420.0, 0", "focal lengths .* -420 and 430"),
        ("[420.0, 0", "[420.0, 2", "must be .fx 0 cx"),
        ("[420.0, 0, 310, 0, 430, 250, 0, 0, 1]", "[0, 0, 0, 0, 0, 0, 0, 0, 0]", "not calibrated"),
        ("0.0002, 0.008]", "0.0002, 0.008, 0.1]", "plumb_bob takes 0 or 4 or 5 coefficients, not 6"),
        ("0.0002, 0.008]", "0.0002, .nan]", "'distortion_coefficients.data.4.': must be a finite number"),
        ("0.0002, 0.008]", "0.0002, small]", "must be a number"),
        ("[-0.25, -0.02, -0.0006, 0.0002, 0.008]", "none", "'distortion_coefficients.data': must be a list"),
    ],
)
def test_each_mistake_in_a_calibration_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CALIBRATION
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, CALIBRATION.replace(old, new, 1))
    assert "camera.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_camera_info_without_model_and_coefficients_is_a_lens_without_distortion() -> None:
    assert Camera.from_fields(640, 480, "", K.ravel(), []) == camera("plumb_bob", ())
    assert Camera.from_fields(640, 480, "", K, [0.0] * 5) == camera("plumb_bob", ())
    assert Camera.from_fields(640, 480, "fisheye", K, [0.0] * 4).model == "equidistant"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((640, 480, "plumb_bob", np.zeros(9), []), "not calibrated"),
        ((640, 480, "", K, [0.1, 0, 0, 0]), "distortion model '' is not known"),
        ((640, 480, "equidistant", K, []), "equidistant takes 4"),
        ((640, 480, "rational_polynomial", K, [0.1] * 14), "tilted"),
        ((640, 480, "plumb_bob", K.ravel()[:8], []), "9 numbers"),
        ((640, 480, "plumb_bob", np.full(9, np.inf), []), "finite"),
        ((0, 480, "plumb_bob", K, []), "at least 1 x 1"),
    ],
)
def test_invalid_camera_info_is_refused(fields: tuple, said: str) -> None:
    with pytest.raises(GeometryError, match=said):
        Camera.from_fields(*fields)
