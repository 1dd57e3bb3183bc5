"""Checks of image stamps against the clock of the node."""

from __future__ import annotations

import pytest

from seg_perception.ros.diagnostics.stamps import stamp_problem

DAY = 86400 * 10**9


@pytest.mark.parametrize(
    ("stamp_ns", "reason", "words"),
    [
        (0, "no stamp", "header.stamp is 0"),
        (7 * DAY, "too old", "3 days behind the node's clock; is use_sim_time missing?"),
        (10 * DAY - 90 * 10**9, "too old", "90 s behind"),
        (10 * DAY - 600 * 10**9, "too old", "10 min behind"),
        (10 * DAY + 10**9, "from the future", "1 s ahead"),
        (14 * DAY, "from the future", "4 days ahead"),
    ],
)
def test_invalid_stamps_are_explained_in_words(stamp_ns: int, reason: str, words: str) -> None:
    problem = stamp_problem(stamp_ns, 10 * DAY, max_age=1.0, max_lead=0.1)
    assert problem is not None
    assert problem[0] == reason
    assert words in problem[1]


def test_stamps_within_their_limits_are_valid() -> None:
    for stamp_ns in (10 * DAY - 10**9, 10 * DAY, 10 * DAY + 10**8):
        assert stamp_problem(stamp_ns, 10 * DAY, max_age=1.0, max_lead=0.1) is None
