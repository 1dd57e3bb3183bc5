"""Which cells of a grid an image gives evidence for, and from which sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.extrinsics import mount_to_base_from_optical
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground.sampling import GroundSamples, sample_ground
from seg_perception.projection.ground_projection import cells_in_view
from seg_perception.settings.ground import GroundSettings

CAMERA = Camera.from_fields(320, 240, "plumb_bob", [200, 0, 159.5, 0, 200, 119.5, 0, 0, 1], ())
BOUNDS = GridBounds(-110, -110, 220, 220, 0.1)
EVERY = (np.stack(np.meshgrid(np.arange(-110, 110), np.arange(-110, 110)), axis=-1).reshape(-1, 2) + 0.5) * 0.1


def samples_at(pitch: float) -> GroundSamples:
    return sample_ground(CAMERA, mount_to_base_from_optical(0.2, -0.1, 3, 0, pitch, 2.5), GroundSettings())


def nearest(samples: GroundSamples, xy: NDArray[np.float64]) -> NDArray[np.intp]:
    """The sample next to each point of the footprint frame, -1 where there is none."""
    x, y = np.moveaxis(xy - samples.nadir, -1, 0)
    step = samples.bearings[1] - samples.bearings[0]
    bearing = np.floor((np.arctan2(y, x) - samples.bearings[0] + step / 2) % (2 * np.pi) / step).astype(int)
    ring = np.rint((np.hypot(x, y) - samples.ranges[0]) / (samples.ranges[1] - samples.ranges[0])).astype(int)
    inside = (bearing < samples.bearings.size) & (ring >= 0) & (ring < samples.ranges.size)
    return np.where(inside, bearing * samples.ranges.size + ring, -1)


def by_cell(xy: NDArray[np.float64], values: NDArray[np.intp]) -> dict[tuple[int, ...], int]:
    cells = np.rint(xy * 10 - 0.5).astype(int).tolist()
    return dict(zip(map(tuple, cells), values.tolist(), strict=True))


@pytest.mark.slow
@given(
    x=st.floats(-9, 9),
    y=st.floats(-9, 9),
    yaw=st.floats(-4, 4),
    pitch=st.sampled_from([0.0, 0.3, math.pi / 2]),
    share=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_each_cell_of_the_grid_gets_the_sample_next_to_it_if_that_is_visible(
    x: float, y: float, yaw: float, pitch: float, share: float
) -> None:
    samples, pose = samples_at(pitch), Transform.from_xyz_rpy(x, y, 0, 0, 0, yaw)
    visible = np.random.default_rng(0).random(samples.in_image.size) <= share
    centres, index = cells_in_view(BOUNDS, pose, samples, visible)

    expected = nearest(samples, pose.inverse().apply(np.column_stack([EVERY, np.zeros(len(EVERY))]))[:, :2])
    wanted = (expected >= 0) & visible[expected]
    # On the line between two samples rounding decides.
    found, wanted_cells = by_cell(centres, index), by_cell(EVERY[wanted], expected[wanted])
    differing = set(found.items()) ^ set(wanted_cells.items())
    assert len(differing) <= 0.005 * max(len(wanted_cells), 2000)  # a cell that differs counts twice


@pytest.mark.parametrize("pitch", [0.0, math.pi / 2], ids=["ahead", "all around"])
def test_every_cell_in_view_has_a_sample_less_than_a_step_away(pitch: float) -> None:
    samples = samples_at(pitch)
    xy, index = cells_in_view(BOUNDS, Transform.identity(), samples, np.ones(samples.in_image.size, bool))
    step = samples.bearings[1] - samples.bearings[0]
    away = np.hypot(*(xy - samples.nadir).T)
    gap = np.linalg.norm(samples.points.reshape(-1, 2)[index] - xy, axis=-1)
    assert (gap <= np.hypot(0.05, (away + 0.05) * step / 2) + 1e-9).all()

    ahead = EVERY - samples.nadir
    distance, bearing = np.hypot(*ahead.T), np.arctan2(ahead[:, 1], ahead[:, 0])
    offset = np.angle(np.exp(1j * (bearing - samples.bearings.mean())))
    half_field = (samples.bearings[-1] - samples.bearings[0]) / 2
    in_view = (distance > 0.5) & (distance < 10.0) & (np.abs(offset) < half_field)
    assert set(by_cell(EVERY[in_view], np.flatnonzero(in_view))) <= set(by_cell(xy, index))
    assert away.max() < 10.06 and away.min() > 0.44


def test_without_a_visible_sample_there_is_no_cell() -> None:
    samples = samples_at(0.3)
    centres, index = cells_in_view(BOUNDS, Transform.identity(), samples, np.zeros(samples.in_image.size, bool))
    assert centres.shape == (0, 2) and index.shape == (0,)
