"""Damaged files and messages: every reader refuses them with one sentence, within 5 s and 1 GB.

SEG_PERCEPTION_FUZZ_SECONDS is the time for each reader; test/fuzz/runner.py runs one of them for hours.
"""

from __future__ import annotations

import os

import pytest
from runner import run
from targets import TARGETS

SECONDS = float(os.environ.get("SEG_PERCEPTION_FUZZ_SECONDS", "1"))
SEED = int(os.environ.get("SEG_PERCEPTION_FUZZ_SEED", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_input_is_read_or_refused_with_one_sentence(name: str) -> None:
    report = run(name, SECONDS, SEED)
    assert not report.failures, "\n".join(report.failures)
    assert report.inputs >= 3
    assert report.refused > 0, "inputs that are never refused test nothing"
