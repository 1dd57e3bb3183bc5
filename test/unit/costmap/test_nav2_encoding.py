"""The nav2 encoding against reference readers written from the source of nav2's static layer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_perception.costmap.nav2_encoding import OccupancyValues, encode_costs

FREE, INSCRIBED, LETHAL, NO_INFORMATION = 0, 253, 254, 255
Reader = Callable[..., int]


def read_until_kilted(value: int, *, trinary: bool, track_unknown: bool) -> int:
    """How the static layer of Humble, Iron, Jazzy and Kilted reads a byte, with its default thresholds."""
    byte = value & 0xFF
    if byte == 255:
        return NO_INFORMATION if track_unknown else FREE
    if byte >= 100:
        return LETHAL
    return FREE if trinary else int(byte / 100 * 254)


def read_from_lyrical(value: int, *, trinary: bool, track_unknown: bool) -> int:
    """Lyrical and later: as before, but 99 is the inscribed obstacle, in trinary mode too."""
    return INSCRIBED if value == 99 else read_until_kilted(value, trinary=trinary, track_unknown=track_unknown)


READERS = pytest.mark.parametrize("read", [read_until_kilted, read_from_lyrical])
BOTH_UNKNOWNS = pytest.mark.parametrize("track_unknown", [True, False])


def encode(cost: float, known: bool = True) -> int:
    return int(encode_costs(np.array([cost], dtype=np.float32), np.array([known]))[0])


@READERS
@BOTH_UNKNOWNS
def test_nav2_reads_no_less_than_the_cost_and_at_most_two_more(read: Reader, track_unknown: bool) -> None:
    for cost in range(255):
        read_back = read(encode(cost), trinary=False, track_unknown=track_unknown)
        assert read_back >= cost
        if 249 <= cost <= 251:
            # No value fits these on every distribution: 98 is read as 248, and 99 as 251 or, from Lyrical on, as 253.
            assert read_back == LETHAL
        else:
            assert read_back - cost <= 2


@READERS
def test_free_stays_free_and_lethal_stays_lethal_even_in_trinary_mode(read: Reader) -> None:
    for trinary in (True, False):
        assert read(encode(0.0), trinary=trinary, track_unknown=True) == FREE
        for cost in (254.0, 255.0, 2540.0, 1e30, math.inf):
            assert read(encode(cost), trinary=trinary, track_unknown=True) == LETHAL


@READERS
def test_trinary_mode_reads_every_graded_cost_as_free(read: Reader) -> None:
    assert {read(encode(cost), trinary=True, track_unknown=True) for cost in range(1, 249)} == {FREE}


@READERS
@pytest.mark.parametrize("trinary", [True, False])
def test_unknown_is_read_as_no_information_where_nav2_tracks_it(read: Reader, trinary: bool) -> None:
    for cost in (0.0, 100.0, 254.0, 255.0, math.nan):
        value = encode(cost, known=False)
        assert value == OccupancyValues.UNKNOWN
        assert read(value, trinary=trinary, track_unknown=True) == NO_INFORMATION
        assert read(value, trinary=trinary, track_unknown=False) == FREE


def test_a_cost_that_is_not_a_number_is_unknown_and_never_free() -> None:
    assert encode(math.nan) == OccupancyValues.UNKNOWN


@given(st.floats(0.0, 6000.0, width=32))
def test_a_fractional_cost_is_never_understated_and_99_is_never_written(cost: float) -> None:
    value = encode(cost)
    assert 0 <= value <= 98 or value == 100
    read_back = read_from_lyrical(value, trinary=False, track_unknown=True)
    assert read_back >= min(cost, LETHAL)
    assert cost > 248 or read_back <= math.ceil(cost) + 2


@given(st.floats(0.0, 300.0, width=32), st.floats(0.0, 300.0, width=32))
def test_a_higher_cost_is_never_encoded_as_a_lower_value(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert encode(low) <= encode(high)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_costs_that_divide_exactly_are_not_rounded_up(dtype: type[np.floating]) -> None:
    costs = np.array([0.0, 127.0, 254.0], dtype=dtype)
    assert encode_costs(costs, np.ones(3, dtype=bool)).tolist() == [0, 50, 100]


def test_the_shape_is_kept_and_the_type_is_that_of_the_message() -> None:
    encoded = encode_costs(np.zeros((3, 4), dtype=np.float32), np.ones((3, 4), dtype=bool))
    assert encoded.shape == (3, 4)
    assert encoded.dtype == np.int8
