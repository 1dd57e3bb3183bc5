"""Pitch and roll that a camera's mount does not tell, from ground whose every point has a known brightness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.painted_engine import painted_engine, painted_matrix

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
    Horizon,
    HorizonKeeper,
)
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.sensor_data.frame import DepthImage, Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.simulation.labels import Label
from seg_perception.simulation.rendering.render import render
from seg_perception.simulation.sensors.degradation import FAULTS

LIMIT = math.radians(3.0)
MOUNT = (0.2, 0.0, 0.8, 0.0, 0.12, 0.0)
WIDTH, HEIGHT = 320, 240
PATTERN = np.random.default_rng(5).integers(40, 216, (64, 64))
PINHOLE = Camera.from_fields(WIDTH, HEIGHT, "", [260, 0, 159.5, 0, 260, 119.5, 0, 0, 1], [])
FISHEYE = Camera.from_fields(
    WIDTH, HEIGHT, "equidistant", [180, 0, 159.5, 0, 180, 119.5, 0, 0, 1], [0.02, -0.01, 0.0, 0.0]
)


def _mount(pitch: float = 0.0, roll: float = 0.0) -> Transform:
    """As told, or off by degrees: about the camera body's own y (looks lower) and then its x (right side down)."""
    off = Transform.from_xyz_rpy(0, 0, 0, 0, math.radians(pitch), 0) @ Transform.from_xyz_rpy(
        0, 0, 0, math.radians(roll), 0, 0
    )
    body = mount_to_base_from_optical(0, 0, 0, 0, 0, 0)
    return Transform.from_xyz_rpy(*MOUNT) @ off @ body


def _tiles(xy: np.ndarray) -> np.ndarray:
    """Tiles of 0.2 m, each of its own brightness, as classes lie on the ground."""
    col, row = np.moveaxis(np.floor(xy / 0.2).astype(int) % 64, -1, 0)
    return PATTERN[row, col]


def _picture(camera: Camera, odom_from_optical: Transform, tiles=_tiles) -> tuple[np.ndarray, np.ndarray]:
    """What the camera sees of the plane z = 0, and where it sees it within 20 m; four rays a pixel."""
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


def _pose(way: float) -> Transform:
    """A robot that sways, on a bend."""
    return Transform.from_xyz_rpy(
        way, 0.05 * way**2, 0.0, 0.004 * math.sin(9 * way), 0.006 * math.cos(7 * way), 0.1 * way
    )


def _fit(off: Transform, camera: Camera = PINHOLE, longer: float = 0.0, slip: float = 0.0, change=lambda grey: grey):
    views = []
    for way in (1.0, 1.6):
        true = _pose(way)
        told = _pose(way * (1 + longer)) @ Transform.from_xyz_rpy(0, 0, 0, 0, slip if way > 1 else 0.0, 0)
        grey, ground = _picture(camera, true @ off)
        footprint = footprint_of(told)
        views.append(
            view_ground(
                change(grey) if way > 1 else grey, ground, camera, footprint, footprint.inverse() @ told @ _mount()
            )
        )
    fit = fit_attitude(*views, LIMIT)
    assert fit is not None
    return fit


def _degrees(fit: AttitudeFit | Horizon) -> tuple[float, float]:
    return math.degrees(fit.pitch), math.degrees(fit.roll)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=["pinhole", "fisheye"])
@pytest.mark.parametrize("pitch, roll", [(0.0, 0.0), (1.0, 0.0), (-2.5, 0.0), (0.0, 1.5), (2.0, -1.0)])
def test_two_looks_at_the_same_tiles_tell_the_error_of_pitch_and_roll(
    camera: Camera, pitch: float, roll: float
) -> None:
    fit = _fit(_mount(pitch, roll), camera)
    assert _degrees(fit) == pytest.approx((pitch, roll), abs=0.2)
    assert fit.likeness > 0.7


def test_light_and_shade_do_not_count() -> None:
    fit = _fit(_mount(1.0), change=lambda grey: (0.5 * grey + np.linspace(0, 80, WIDTH)).astype(np.uint8))
    assert _degrees(fit) == pytest.approx((1.0, 0.0), abs=0.2)


@pytest.mark.parametrize("wrong", [{"longer": 0.03}, {"slip": math.radians(0.3)}], ids=["3 % too long", "nods"])
def test_odometry_that_errs_a_little_leaves_most_of_the_error_to_be_found(wrong: dict[str, float]) -> None:
    assert _degrees(_fit(_mount(2.0), **wrong)) == pytest.approx((2.0, 0.0), abs=0.6)


def _frames(off: Transform, count: int, tiles=_tiles, apart: float = 0.3, longer: float = 0.0) -> Iterator[Frame]:
    """A drive, told the mount without its error; the ground is the painted engine's class 0, all else class 2."""
    for number in range(count):
        pose = _pose(number * apart)
        told = Transform(pose.rotation, pose.translation * (1 + longer))
        green, ground = _picture(PINHOLE, pose @ off, tiles)
        image = np.stack([np.where(ground, 0, 2).astype(np.uint8), green, green], axis=-1)
        yield Frame(number * 10**8, image, "bgr", PINHOLE, told, _mount(), "camera")


def _learnt(frames: Iterator[Frame], limit: float = LIMIT) -> Horizon:
    keeper = HorizonKeeper(limit)
    for frame in frames:
        image = frame.image
        keeper.see(
            np.ascontiguousarray(image[..., 1]),
            image[..., 0] == 0,
            PINHOLE,
            frame.odom_from_base,
            frame.base_from_optical,
        )
    return keeper.horizon


def test_a_drive_tells_the_error_and_undoes_it() -> None:
    horizon = _learnt(_frames(_mount(1.5, 0.8), 9))
    assert _degrees(horizon) == pytest.approx((1.5, 0.8), abs=0.2)
    assert horizon.doubt == "" and "pitch +1." in horizon.in_words()
    mended = (_mount() @ horizon.told_from_true).rotation
    assert np.degrees(np.abs(mended - _mount(1.5, 0.8).rotation).max()) < 0.2


@pytest.mark.parametrize("longer", [0.0, 0.03, -0.03])
def test_a_mount_that_is_right_is_left_alone_even_by_odometry_that_is_not(longer: float) -> None:
    horizon = _learnt(_frames(_mount(), 9, longer=longer))
    assert (horizon.pitch, horizon.roll, horizon.doubt) == (0.0, 0.0, "")


def test_no_error_larger_than_allowed_is_taken() -> None:
    horizon = _learnt(_frames(_mount(2.0), 7), limit=math.radians(1.5))
    assert math.degrees(horizon.pitch) == pytest.approx(1.5)


@pytest.mark.parametrize(
    "tiles",
    [
        lambda xy: np.full(xy.shape[:-1], 120),
        lambda xy: np.random.default_rng(int(1e6 * abs(xy[-1, 0, 0]))).integers(60, 180, xy.shape[:-1]),
        lambda xy: np.where(xy[..., 1] < 0.4, 90, 170),
    ],
    ids=["even", "noise", "one edge, along the way"],
)
def test_featureless_ground_corrects_nothing_and_says_so(tiles) -> None:
    horizon = _learnt(_frames(_mount(1.5), 6, tiles))
    assert (horizon.pitch, horizon.roll) == (0.0, 0.0)
    assert horizon.doubt in (FEATURELESS, DISAGREE) and horizon.doubt in horizon.in_words()


def test_looks_that_disagree_correct_nothing() -> None:
    errors = (2.5,) * 4 + (-2.5,) * 4  # somebody knocks against the camera
    frames = [list(_frames(_mount(error), number + 1))[-1] for number, error in enumerate(errors)]
    horizon = _learnt(iter(frames))
    assert horizon.pitch == 0.0
    assert horizon.doubt == DISAGREE


def test_a_robot_that_stands_learns_nothing() -> None:
    assert _learnt(_frames(_mount(1.5), 5, apart=0.01)).doubt == NOT_MOVED


def test_a_camera_that_sees_no_ground_says_so() -> None:
    frames = [replace(frame, image=np.full_like(frame.image, 2)) for frame in _frames(_mount(), 1)]
    assert _learnt(iter(frames)).doubt in (NO_GROUND, NOT_MOVED)


SETTINGS = PipelineSettings(GroundSettings(max_samples=8_000), GridSettings(width=16.0, height=16.0))
LEARNING = replace(SETTINGS, ground=replace(SETTINGS.ground, max_pitch_error=LIMIT))


def _run(pipeline: Pipeline, frames) -> list:
    return [pipeline.process(frame) for frame in frames]


def test_the_pipeline_projects_by_the_mended_mount(tmp_path: Path) -> None:
    matrix, frames = painted_matrix(tmp_path), list(_frames(_mount(2.0), 9))
    off, on = (_run(Pipeline(painted_engine(each), matrix, each), frames)[-1] for each in (SETTINGS, LEARNING))
    assert off.horizon is None and off.frame is frames[-1]
    assert on.horizon is not None and math.degrees(on.horizon.pitch) == pytest.approx(2.0, abs=0.2)
    wanted = _mount(2.0)
    assert np.degrees(np.abs(on.frame.base_from_optical.rotation - wanted.rotation).max()) < 0.2


def test_measured_ground_is_projected_as_the_mount_says(tmp_path: Path) -> None:
    matrix = painted_matrix(tmp_path)
    pipeline = Pipeline(painted_engine(LEARNING), matrix, LEARNING)
    *before, last = _frames(_mount(2.0), 9)
    _run(pipeline, before)
    rays, _ = PINHOLE.rays(np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).astype(float))
    pose = last.odom_from_base @ last.base_from_optical
    down = np.maximum(-(rays @ pose.rotation.T)[..., 2], 1e-3)
    metres = np.where(down > 0.05, pose.translation[2] / down * rays[..., 2], 0).astype(np.float32)
    result = pipeline.process(replace(last, depth=DepthImage(last.stamp_ns, metres, pose)))
    assert result.projection == "depth"
    assert result.frame.base_from_optical is last.base_from_optical


def test_it_can_be_switched_on_and_off_while_running(tmp_path: Path) -> None:
    matrix, frames = painted_matrix(tmp_path), list(_frames(_mount(2.0), 7))
    pipeline = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS)
    assert pipeline.process(frames[0]).horizon is None
    pipeline.use(matrix, LEARNING)
    assert _run(pipeline, frames)[-1].horizon.pitch > 0
    pipeline.use(matrix, SETTINGS)
    assert pipeline.process(frames[-1]).frame is frames[-1]


def test_without_poses_nothing_is_learnt(tmp_path: Path) -> None:
    pipeline = Pipeline(painted_engine(LEARNING), painted_matrix(tmp_path), LEARNING, remember=False)
    assert _run(pipeline, _frames(_mount(2.0), 7))[-1].horizon.doubt == NOT_MOVED


def test_a_pipeline_goes_on_after_an_interruption_as_if_there_had_been_none(tmp_path: Path) -> None:
    matrix = painted_matrix(tmp_path)
    frames = [replace(frame, frame_id="the front one") for frame in _frames(_mount(2.0), 10)]
    whole = Pipeline(painted_engine(LEARNING), matrix, LEARNING)
    expected = _run(whole, frames)
    for cut in (3, 6):
        first, second = (Pipeline(painted_engine(LEARNING), matrix, LEARNING) for _ in range(2))
        _run(first, frames[:cut])
        np.savez(tmp_path / "state.npz", **first.to_arrays())
        with np.load(tmp_path / "state.npz") as arrays:
            second.restore({name: arrays[name] for name in arrays.files})
        for got, wanted in zip(_run(second, frames[cut:]), expected[cut:], strict=True):
            assert (got.costmap == wanted.costmap).all()
            assert (got.horizon.pitch, got.horizon.roll) == (wanted.horizon.pitch, wanted.horizon.roll)


def test_a_simulated_street_tells_that_the_camera_looks_too_low() -> None:
    camera = standard_camera(240, 180)
    drive, fault = Drive(Scenario(camera, seed=1, duration=2.0, fps=4.0, robot="pavement")), FAULTS["pitch_2"]
    keeper, ground = HorizonKeeper(LIMIT), (Label.ROAD, Label.PAVEMENT, Label.GRASS)
    for number, stamp_ns in enumerate(drive.scenario.stamps_ns):
        pose = drive.odom_from_base(stamp_ns)
        seen_from = fault.seen_from(pose, drive.base_from_optical)
        view = render(drive.world(stamp_ns), camera, seen_from, frame=number)
        green = np.ascontiguousarray(view.rgb[..., 1])
        keeper.see(green, np.isin(view.labels, ground), camera, pose, drive.base_from_optical)
    assert _degrees(keeper.horizon) == pytest.approx((2.0, 0.0), abs=0.3)


@pytest.mark.parametrize("value", [-0.01, 0.2, math.nan])
def test_limits_that_make_no_sense_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="max_pitch_error"):
        GroundSettings(max_pitch_error=value)
