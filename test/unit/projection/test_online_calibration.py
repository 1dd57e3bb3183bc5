"""Online extrinsic calibration: pitch and roll errors, on ground whose every point has a known brightness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.label_image_engine import label_image_engine, three_class_matrix

from seg_perception.errors import ConfigError
from seg_perception.evaluation.costmap.standard_drives import standard_camera
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, footprint_of, mount_to_base_from_optical
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.projection.extrinsic_calibration.attitude_fit import AttitudeFit, fit_attitude
from seg_perception.projection.extrinsic_calibration.ground_view import view_ground
from seg_perception.projection.extrinsic_calibration.online_calibration import (
    DISAGREE,
    FEATURELESS,
    NO_GROUND,
    NOT_MOVED,
    AttitudeCorrection,
    AttitudeEstimator,
)
from seg_perception.sensor_data.frame import DepthImage, Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.simulation.labels import Label
from seg_perception.simulation.rendering.render import render
from seg_perception.simulation.sensors.degradation import DEGRADATIONS

LIMIT = math.radians(3.0)
EXTRINSICS = (0.2, 0.0, 0.8, 0.0, 0.12, 0.0)
WIDTH, HEIGHT = 320, 240
PATTERN = np.random.default_rng(5).integers(40, 216, (64, 64))
PINHOLE = Camera.from_fields(WIDTH, HEIGHT, "", [260, 0, 159.5, 0, 260, 119.5, 0, 0, 1], [])
FISHEYE = Camera.from_fields(
    WIDTH, HEIGHT, "equidistant", [180, 0, 159.5, 0, 180, 119.5, 0, 0, 1], [0.02, -0.01, 0.0, 0.0]
)


def _extrinsics(pitch: float = 0.0, roll: float = 0.0) -> Transform:
    """Nominal, or off by degrees: about the camera body's own y (looks lower) and then its x (right side down)."""
    off = Transform.from_xyz_rpy(0, 0, 0, 0, math.radians(pitch), 0) @ Transform.from_xyz_rpy(
        0, 0, 0, math.radians(roll), 0, 0
    )
    body = mount_to_base_from_optical(0, 0, 0, 0, 0, 0)
    return Transform.from_xyz_rpy(*EXTRINSICS) @ off @ body


def _tiles(xy: np.ndarray) -> np.ndarray:
    """Tiles of 0.2 m on the ground, each of its own brightness."""
    col, row = np.moveaxis(np.floor(xy / 0.2).astype(int) % 64, -1, 0)
    return PATTERN[row, col]


def _render(camera: Camera, odom_from_optical: Transform, tiles=_tiles) -> tuple[np.ndarray, np.ndarray]:
    """Image of the plane z = 0, and where the camera sees it within 20 m; four rays per pixel."""
    sums = np.zeros((camera.height, camera.width))
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(float)
    for shift in ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)):
        rays, valid = camera.rays(np.stack([u + shift[0], v + shift[1]], axis=-1))
        rays = rays @ odom_from_optical.rotation.T
        reach = odom_from_optical.translation[2] / np.maximum(-rays[..., 2], 1e-9)
        ground = valid & (rays[..., 2] < 0) & (reach < 20.0)
        xy = (odom_from_optical.translation + rays * np.minimum(reach, 20.0)[..., np.newaxis])[..., :2]
        sums += np.where(ground, tiles(xy), 0)
    return np.rint(sums / 4).astype(np.uint8), ground


def _pose(distance: float) -> Transform:
    """A robot that sways, on a curve."""
    return Transform.from_xyz_rpy(
        distance,
        0.05 * distance**2,
        0.0,
        0.004 * math.sin(9 * distance),
        0.006 * math.cos(7 * distance),
        0.1 * distance,
    )


def _fit(off: Transform, camera: Camera = PINHOLE, scale: float = 0.0, slip: float = 0.0, change=lambda grey: grey):
    views = []
    for distance in (1.0, 1.6):
        actual = _pose(distance)
        reported = _pose(distance * (1 + scale)) @ Transform.from_xyz_rpy(0, 0, 0, 0, slip if distance > 1 else 0.0, 0)
        grey, ground = _render(camera, actual @ off)
        footprint = footprint_of(reported)
        views.append(
            view_ground(
                change(grey) if distance > 1 else grey,
                ground,
                camera,
                footprint,
                footprint.inverse() @ reported @ _extrinsics(),
            )
        )
    fit = fit_attitude(*views, LIMIT)
    assert fit is not None
    return fit


def _degrees(fit: AttitudeFit | AttitudeCorrection) -> tuple[float, float]:
    return math.degrees(fit.pitch), math.degrees(fit.roll)


@pytest.mark.slow
@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=["pinhole", "fisheye"])
@pytest.mark.parametrize("pitch, roll", [(0.0, 0.0), (1.0, 0.0), (-2.5, 0.0), (0.0, 1.5), (2.0, -1.0)])
def test_two_views_of_the_same_tiles_give_the_error_of_pitch_and_roll(
    camera: Camera, pitch: float, roll: float
) -> None:
    fit = _fit(_extrinsics(pitch, roll), camera)
    assert _degrees(fit) == pytest.approx((pitch, roll), abs=0.2)
    assert fit.correlation > 0.7


def test_light_and_shade_have_no_effect() -> None:
    fit = _fit(_extrinsics(1.0), change=lambda grey: (0.5 * grey + np.linspace(0, 80, WIDTH)).astype(np.uint8))
    assert _degrees(fit) == pytest.approx((1.0, 0.0), abs=0.2)


@pytest.mark.parametrize("wrong", [{"scale": 0.03}, {"slip": math.radians(0.3)}], ids=["3 % too long", "nods"])
def test_with_small_odometry_errors_most_of_the_attitude_error_is_found(wrong: dict[str, float]) -> None:
    assert _degrees(_fit(_extrinsics(2.0), **wrong)) == pytest.approx((2.0, 0.0), abs=0.6)


def _frames(off: Transform, count: int, tiles=_tiles, apart: float = 0.3, scale: float = 0.0) -> Iterator[Frame]:
    """A drive with the nominal extrinsics; the ground is the fake engine's class 0, all else class 2."""
    for number in range(count):
        pose = _pose(number * apart)
        reported = Transform(pose.rotation, pose.translation * (1 + scale))
        green, ground = _render(PINHOLE, pose @ off, tiles)
        image = np.stack([np.where(ground, 0, 2).astype(np.uint8), green, green], axis=-1)
        yield Frame(number * 10**8, image, "bgr", PINHOLE, reported, _extrinsics(), "camera")


def _calibrate(frames: Iterator[Frame], limit: float = LIMIT) -> AttitudeCorrection:
    estimator = AttitudeEstimator(limit)
    for frame in frames:
        image = frame.image
        estimator.update(
            np.ascontiguousarray(image[..., 1]),
            image[..., 0] == 0,
            PINHOLE,
            frame.odom_from_base,
            frame.base_from_optical,
        )
    return estimator.correction


def test_a_drive_gives_the_error_and_corrects_it() -> None:
    correction = _calibrate(_frames(_extrinsics(1.5, 0.8), 9))
    assert _degrees(correction) == pytest.approx((1.5, 0.8), abs=0.2)
    assert correction.unknown_because == "" and "pitch +1." in correction.describe()
    corrected = (_extrinsics() @ correction.nominal_from_actual).rotation
    assert np.degrees(np.abs(corrected - _extrinsics(1.5, 0.8).rotation).max()) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.0, 0.03, -0.03])
def test_correct_extrinsics_are_not_changed_even_with_wrong_odometry(scale: float) -> None:
    correction = _calibrate(_frames(_extrinsics(), 9, scale=scale))
    assert (correction.pitch, correction.roll, correction.unknown_because) == (0.0, 0.0, "")


def test_the_correction_does_not_exceed_the_limit() -> None:
    correction = _calibrate(_frames(_extrinsics(2.0), 7), limit=math.radians(1.5))
    assert math.degrees(correction.pitch) == pytest.approx(1.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "tiles",
    [
        lambda xy: np.full(xy.shape[:-1], 120),
        lambda xy: np.random.default_rng(int(1e6 * abs(xy[-1, 0, 0]))).integers(60, 180, xy.shape[:-1]),
        lambda xy: np.where(xy[..., 1] < 0.4, 90, 170),
    ],
    ids=["even", "noise", "one edge, along the path"],
)
def test_featureless_ground_corrects_nothing_and_gives_the_reason(tiles) -> None:
    correction = _calibrate(_frames(_extrinsics(1.5), 6, tiles))
    assert (correction.pitch, correction.roll) == (0.0, 0.0)
    assert correction.unknown_because in (FEATURELESS, DISAGREE)
    assert correction.unknown_because in correction.describe()


@pytest.mark.slow
def test_observations_that_disagree_correct_nothing() -> None:
    errors = (2.5,) * 4 + (-2.5,) * 4  # somebody bumps into the camera
    frames = [list(_frames(_extrinsics(error), number + 1))[-1] for number, error in enumerate(errors)]
    correction = _calibrate(iter(frames))
    assert correction.pitch == 0.0
    assert correction.unknown_because == DISAGREE


def test_a_robot_that_stands_gets_no_correction() -> None:
    assert _calibrate(_frames(_extrinsics(1.5), 5, apart=0.01)).unknown_because == NOT_MOVED


def test_a_camera_that_sees_no_ground_gives_the_reason() -> None:
    frames = [replace(frame, image=np.full_like(frame.image, 2)) for frame in _frames(_extrinsics(), 1)]
    assert _calibrate(iter(frames)).unknown_because in (NO_GROUND, NOT_MOVED)


SETTINGS = PipelineSettings(GroundSettings(max_samples=8_000), GridSettings(width=16.0, height=16.0))
CALIBRATING = replace(SETTINGS, ground=replace(SETTINGS.ground, max_pitch_error=LIMIT))


def _run(pipeline: Pipeline, frames) -> list:
    return [pipeline.process(frame) for frame in frames]


def test_the_pipeline_projects_by_the_corrected_extrinsics(tmp_path: Path) -> None:
    matrix, frames = three_class_matrix(tmp_path), list(_frames(_extrinsics(2.0), 9))
    off, on = (_run(Pipeline(label_image_engine(each), matrix, each), frames)[-1] for each in (SETTINGS, CALIBRATING))
    assert off.attitude_correction is None and off.frame is frames[-1]
    assert on.attitude_correction is not None and math.degrees(on.attitude_correction.pitch) == pytest.approx(
        2.0, abs=0.2
    )
    wanted = _extrinsics(2.0)
    assert np.degrees(np.abs(on.frame.base_from_optical.rotation - wanted.rotation).max()) < 0.2


def test_measured_ground_is_projected_by_the_nominal_extrinsics(tmp_path: Path) -> None:
    matrix = three_class_matrix(tmp_path)
    pipeline = Pipeline(label_image_engine(CALIBRATING), matrix, CALIBRATING)
    *before, last = _frames(_extrinsics(2.0), 9)
    _run(pipeline, before)
    rays, _ = PINHOLE.rays(np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).astype(float))
    pose = last.odom_from_base @ last.base_from_optical
    down = np.maximum(-(rays @ pose.rotation.T)[..., 2], 1e-3)
    metres = np.where(down > 0.05, pose.translation[2] / down * rays[..., 2], 0).astype(np.float32)
    result = pipeline.process(replace(last, depth=DepthImage(last.stamp_ns, metres, pose)))
    assert result.projection == "depth"
    assert result.frame.base_from_optical is last.base_from_optical


def test_it_can_be_switched_on_and_off_while_running(tmp_path: Path) -> None:
    matrix, frames = three_class_matrix(tmp_path), list(_frames(_extrinsics(2.0), 7))
    pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
    assert pipeline.process(frames[0]).attitude_correction is None
    pipeline.reconfigure(matrix, CALIBRATING)
    assert _run(pipeline, frames)[-1].attitude_correction.pitch > 0
    pipeline.reconfigure(matrix, SETTINGS)
    assert pipeline.process(frames[-1]).frame is frames[-1]


def test_without_poses_nothing_is_calibrated(tmp_path: Path) -> None:
    pipeline = Pipeline(label_image_engine(CALIBRATING), three_class_matrix(tmp_path), CALIBRATING, remember=False)
    assert _run(pipeline, _frames(_extrinsics(2.0), 7))[-1].attitude_correction.unknown_because == NOT_MOVED


@pytest.mark.slow
def test_a_pipeline_continues_after_an_interruption_as_if_there_had_been_none(tmp_path: Path) -> None:
    matrix = three_class_matrix(tmp_path)
    frames = [replace(frame, frame_id="the front one") for frame in _frames(_extrinsics(2.0), 10)]
    whole = Pipeline(label_image_engine(CALIBRATING), matrix, CALIBRATING)
    expected = _run(whole, frames)
    for cut in (3, 6):
        first, second = (Pipeline(label_image_engine(CALIBRATING), matrix, CALIBRATING) for _ in range(2))
        _run(first, frames[:cut])
        np.savez(tmp_path / "state.npz", **first.to_arrays())
        with np.load(tmp_path / "state.npz") as arrays:
            second.restore({name: arrays[name] for name in arrays.files})
        for got, wanted in zip(_run(second, frames[cut:]), expected[cut:], strict=True):
            assert (got.costmap == wanted.costmap).all()
            assert got.attitude_correction == wanted.attitude_correction


@pytest.mark.slow
def test_a_simulated_street_shows_that_the_camera_looks_too_low() -> None:
    camera = standard_camera(240, 180)
    drive, degradation = (
        Drive(Scenario(camera, seed=1, duration=2.0, fps=4.0, robot="pavement")),
        DEGRADATIONS["pitch_2"],
    )
    estimator, ground = AttitudeEstimator(LIMIT), (Label.ROAD, Label.PAVEMENT, Label.GRASS)
    for number, stamp_ns in enumerate(drive.scenario.stamps_ns):
        pose = drive.odom_from_base(stamp_ns)
        odom_from_optical = degradation.actual_odom_from_optical(pose, drive.base_from_optical)
        view = render(drive.world(stamp_ns), camera, odom_from_optical, frame=number)
        green = np.ascontiguousarray(view.rgb[..., 1])
        estimator.update(green, np.isin(view.labels, ground), camera, pose, drive.base_from_optical)
    assert _degrees(estimator.correction) == pytest.approx((2.0, 0.0), abs=0.3)


@pytest.mark.parametrize("value", [-0.01, 0.2, math.nan])
def test_invalid_limits_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="max_pitch_error"):
        GroundSettings(max_pitch_error=value)
