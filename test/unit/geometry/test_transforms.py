from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_perception.errors import GeometryError
from seg_perception.geometry.transform_buffer import TransformBuffer
from seg_perception.geometry.transforms import (
    BODY_FROM_OPTICAL,
    Transform,
    footprint_of,
    interpolate,
    mount_to_base_from_optical,
)

SECOND = 10**9
metres = st.floats(-100, 100)
angles = st.floats(-math.pi, math.pi)
poses = st.builds(Transform.from_xyz_rpy, metres, metres, metres, angles, angles, angles)


def assert_same(actual: Transform, expected: Transform, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(actual.rotation, expected.rotation, atol=tolerance)
    np.testing.assert_allclose(actual.translation, expected.translation, atol=tolerance * 1000)


@given(poses, poses, poses)
def test_composition_is_associative_and_the_inverse_undoes(a: Transform, b: Transform, c: Transform) -> None:
    assert_same((a @ b) @ c, a @ (b @ c))
    assert_same(a @ a.inverse(), Transform.identity())
    assert_same(a.inverse() @ a, Transform.identity())
    points = np.array([[[1.0, 2.0, 3.0]], [[-4.0, 5.0, 0.5]]])
    np.testing.assert_allclose((a @ b).apply(points), a.apply(b.apply(points)), atol=1e-9)


@given(poses)
def test_quaternion_and_rpy_describe_the_same_rotation(pose: Transform) -> None:
    q = pose.quaternion()
    assert np.linalg.norm(q) == pytest.approx(1.0) and q[3] >= 0
    assert_same(Transform.from_quaternion(pose.translation, q), pose)
    assert_same(Transform.from_xyz_rpy(*pose.translation, *pose.rpy()), pose, tolerance=1e-7)


@given(angles, angles, angles)
def test_rotation_agrees_with_rodrigues_about_the_fixed_axes_in_turn(r: float, p: float, y: float) -> None:
    about_x, about_y, about_z = (cv2.Rodrigues(np.eye(3)[axis] * angle)[0] for axis, angle in enumerate((r, p, y)))
    rotation = Transform.from_xyz_rpy(0, 0, 0, r, p, y).rotation
    np.testing.assert_allclose(rotation, about_z @ about_y @ about_x, atol=1e-12)


def test_looking_straight_down_keeps_roll_and_gives_yaw_0() -> None:
    straight_down = Transform.from_xyz_rpy(0, 0, 0, 0.3, math.pi / 2, 0)
    assert straight_down.rpy() == pytest.approx((0.3, math.pi / 2, 0.0))


def test_a_camera_pitched_down_looks_ahead_and_down() -> None:
    base_from_optical = mount_to_base_from_optical(0.2, 0.0, 1.0, 0.0, math.radians(45), 0.0)
    np.testing.assert_allclose(base_from_optical.apply(np.array([0.0, 0.0, math.sqrt(2)])), [1.2, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(BODY_FROM_OPTICAL.apply(np.eye(3)), [[0, -1, 0], [0, 0, -1], [1, 0, 0]])


@given(poses)
def test_the_footprint_is_level_under_the_base_and_turned_like_it(odom_from_base: Transform) -> None:
    footprint = footprint_of(odom_from_base)
    np.testing.assert_array_equal(footprint.translation, odom_from_base.translation)
    np.testing.assert_allclose(footprint.rotation[2], [0, 0, 1], atol=1e-12)
    ahead = odom_from_base.rotation[:2, 0]
    if np.linalg.norm(ahead) > 1e-3:
        np.testing.assert_allclose(footprint.rotation[:2, 0], ahead / np.linalg.norm(ahead), atol=1e-6)


@pytest.mark.parametrize(
    "quaternion", [(0, 0, 0, 0), (0, 0, 0, 0.9), (math.nan, 0, 0, 1), (0, 0, 1)], ids=["zero", "short", "nan", "three"]
)
def test_invalid_quaternions_are_refused(quaternion: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="quaternion"):
        Transform.from_quaternion([0, 0, 0], quaternion)


def test_a_quaternion_a_little_off_length_1_is_normalised() -> None:
    turned = Transform.from_quaternion([0, 0, 0], np.array([0, 0, math.sin(0.5), math.cos(0.5)]) * 1.005)
    assert turned.rpy() == pytest.approx((0, 0, 1.0))


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [
        (np.diag([1, 1, -1]), np.zeros(3)),
        (2 * np.eye(3), np.zeros(3)),
        (np.full((3, 3), np.nan), np.zeros(3)),
        (np.eye(3), [0, np.inf, 0]),
        (np.eye(3), [0, 0]),
    ],
    ids=["mirror", "scale", "nan", "infinite", "two numbers"],
)
def test_invalid_rotations_and_translations_are_refused(rotation: np.ndarray, translation: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        Transform(rotation, translation)


def test_a_transform_cannot_be_changed_afterwards() -> None:
    rotation = np.eye(3)
    transform = Transform(rotation, np.zeros(3))
    rotation[0, 0] = 5.0
    assert transform.rotation[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        transform.translation[0] = 1.0


@given(angles.filter(lambda a: abs(a) < 3.1), st.floats(0, 1))
def test_interpolation_turns_at_a_constant_rate_the_short_way(turn: float, fraction: float) -> None:
    start = Transform.from_xyz_rpy(1, 0, 0, 0, 0, 3.0)
    end = start @ Transform.from_xyz_rpy(2, 0, 0, 0, 0, turn)
    between = interpolate(start, end, fraction)
    assert_same(
        between,
        Transform(
            (start @ Transform.from_xyz_rpy(0, 0, 0, 0, 0, fraction * turn)).rotation,
            (1 - fraction) * start.translation + fraction * end.translation,
        ),
    )


def drive() -> TransformBuffer:
    """odom -> base at 1 m/s along x from 10 s to 12 s, a fixed camera mast and a laser."""
    buffer = TransformBuffer()
    for second in (10, 12, 11):
        buffer.add("odom", "base", second * SECOND, Transform.from_xyz_rpy(second, 0, 0, 0, 0, 0))
    buffer.add_static("base", "mast", Transform.from_xyz_rpy(0, 0, 1, 0, 0, 0))
    buffer.add_static("mast", "camera", mount_to_base_from_optical(0.1, 0, 0, 0, 0.2, 0))
    buffer.add_static("base", "laser", Transform.from_xyz_rpy(0.5, 0, 0.3, 0, 0, math.pi))
    return buffer


def test_lookup_interpolates_between_samples_whatever_their_order() -> None:
    buffer = drive()
    for stamp, x in ((10 * SECOND, 10.0), (10 * SECOND + SECOND // 4, 10.25), (12 * SECOND, 12.0)):
        np.testing.assert_allclose(buffer.lookup("odom", "base", stamp).translation, [x, 0, 0], atol=1e-12)
    assert buffer.frames() == {"odom", "base", "mast", "camera", "laser"}


def test_lookup_goes_through_the_common_ancestor_and_back() -> None:
    buffer = drive()
    laser_from_camera = buffer.lookup("laser", "camera", 0)
    expected = (
        Transform.from_xyz_rpy(0.5, 0, 0.3, 0, 0, math.pi).inverse()
        @ Transform.from_xyz_rpy(0, 0, 1, 0, 0, 0)
        @ mount_to_base_from_optical(0.1, 0, 0, 0, 0.2, 0)
    )
    assert_same(laser_from_camera, expected)
    assert_same(buffer.lookup("camera", "laser", 0), expected.inverse())
    assert_same(buffer.lookup("camera", "camera", 0), Transform.identity())
    assert_same(buffer.lookup("camera", "odom", 11 * SECOND), buffer.lookup("odom", "camera", 11 * SECOND).inverse())


def test_nothing_is_extrapolated_and_the_message_names_link_stamp_and_span() -> None:
    for stamp, written in ((13 * SECOND + 5, "13.000000005 s"), (9 * SECOND, "9.000000000 s")):
        with pytest.raises(GeometryError) as caught:
            drive().lookup("odom", "camera", stamp)
        for part in ("'base'", "'odom'", written, "10.000000000 s to 12.000000000 s"):
            assert part in str(caught.value)


def test_unknown_and_unconnected_frames_are_named() -> None:
    buffer = drive()
    with pytest.raises(GeometryError, match=r"no frame 'lidar'.*laser"):
        buffer.lookup("odom", "lidar", 10 * SECOND)
    buffer.add_static("gimbal", "zoom", Transform.identity())
    with pytest.raises(GeometryError, match=r"connect 'zoom' to 'odom'.*'gimbal'"):
        buffer.lookup("odom", "zoom", 10 * SECOND)


def test_of_two_samples_with_the_same_stamp_the_first_is_kept() -> None:
    buffer = drive()
    buffer.add("odom", "base", 11 * SECOND, Transform.from_xyz_rpy(99, 0, 0, 0, 0, 0))
    assert buffer.lookup("odom", "base", 11 * SECOND).translation[0] == 11


def test_a_static_transform_has_precedence_over_samples_in_either_order() -> None:
    fixed, sample = Transform.from_xyz_rpy(1, 0, 0, 0, 0, 0), Transform.from_xyz_rpy(2, 0, 0, 0, 0, 0)
    for static_first in (True, False):
        buffer = TransformBuffer()
        if static_first:
            buffer.add_static("a", "b", fixed)
        buffer.add("a", "b", 5, sample)
        if not static_first:
            buffer.add_static("a", "b", fixed)
        assert_same(buffer.lookup("a", "b", 5), fixed)


def test_leading_slashes_of_ros_1_do_not_matter() -> None:
    buffer = TransformBuffer()
    buffer.add_static("/base", "/camera", Transform.identity())
    buffer.add("odom", "base", 0, Transform.identity())
    assert_same(buffer.lookup("/odom", "camera", 0), Transform.identity())


def test_two_parents_loops_and_empty_names_are_refused() -> None:
    buffer = drive()
    with pytest.raises(GeometryError, match=r"'base'.*two parents, 'odom' and 'map'"):
        buffer.add("map", "base", 0, Transform.identity())
    with pytest.raises(GeometryError, match="loop"):
        buffer.add_static("camera", "odom", Transform.identity())
    with pytest.raises(GeometryError, match="loop"):
        buffer.add_static("x", "x", Transform.identity())
    with pytest.raises(GeometryError, match="empty"):
        buffer.add_static("/", "x", Transform.identity())


def test_old_samples_are_dropped_so_that_memory_stays_bounded() -> None:
    buffer = TransformBuffer(keep_ns=2 * SECOND)
    step = SECOND // 100
    for index in range(3000):
        buffer.add("odom", "base", index * step, Transform.from_xyz_rpy(index, 0, 0, 0, 0, 0))
    newest = 2999 * step
    assert buffer.lookup("odom", "base", newest - 2 * SECOND).translation[0] == pytest.approx(2799)
    with pytest.raises(GeometryError, match="its 201 samples span"):
        buffer.lookup("odom", "base", newest - 2 * SECOND - 1)
