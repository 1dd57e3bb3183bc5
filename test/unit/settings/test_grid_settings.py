"""Limits of the grid settings."""

from __future__ import annotations

import math

import pytest

from seg_perception.errors import ConfigError
from seg_perception.settings.grid import GridSettings


@pytest.mark.parametrize("name", ["width", "height", "resolution", "half_life", "prior_strength", "min_evidence"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_settings_that_are_not_above_zero_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^grid\.{name} (is .*, but must lie within|must be a finite number).*\.$"):
        GridSettings(**{name: value})


@pytest.mark.parametrize(("size", "resolution"), [(1.0, 2.0), (500.0, 0.01)])
def test_a_resolution_that_gives_no_cell_or_too_many_is_refused(size: float, resolution: float) -> None:
    with pytest.raises(ConfigError, match=r"^grid\.resolution is .* cells;"):
        GridSettings(width=size, height=size, resolution=resolution)
