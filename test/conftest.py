from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of recorded data, which is not part of the repository; a test that needs it is skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEG_PERCEPTION_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}; name its folder in SEG_PERCEPTION_DATA to run this test")
    return folder
