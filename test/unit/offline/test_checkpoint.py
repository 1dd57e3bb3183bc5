"""Checkpoints: saved and loaded whole, refused for another run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seg_perception.errors import RecordingError
from seg_perception.offline.checkpoint import Checkpoint, fingerprint


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    evidence = np.random.default_rng(3).random((4, 5, 6), dtype=np.float32)
    saved = Checkpoint("abc", 123, 7, {"evidence": evidence}, {"dropped": {"no transform": 2}, "ms": [1.5, 2.25]})
    saved.save(tmp_path / "checkpoint.npz")
    loaded = Checkpoint.load(tmp_path / "checkpoint.npz", "abc")
    assert (loaded.position, loaded.items, loaded.values) == (123, 7, saved.values)
    assert loaded.arrays["evidence"].tobytes() == evidence.tobytes()
    assert loaded.arrays["evidence"].dtype == evidence.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_a_checkpoint_of_another_run_or_none_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(RecordingError, match="no interrupted run"):
        Checkpoint.load(path, "abc")
    Checkpoint("abc", 1, 1, {}, {}).save(path)
    with pytest.raises(RecordingError, match="another input"):
        Checkpoint.load(path, "abd")
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(RecordingError, match="damaged"):
            Checkpoint.load(path, "abc")


def test_the_fingerprint_changes_with_every_input_file_and_setting(tmp_path: Path) -> None:
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    one.write_bytes(bytes(200_000))
    two.write_bytes(b"two")
    seen = {
        fingerprint([one, two], {"alpha": 0.5}),
        fingerprint([two, one], {"alpha": 0.5}),
        fingerprint([one], {"alpha": 0.5}),
        fingerprint([one, two], {"alpha": 0.6}),
    }
    two.write_bytes(b"owt")
    seen.add(fingerprint([one, two], {"alpha": 0.5}))
    one.write_bytes(bytes(199_999) + b"x")
    seen.add(fingerprint([one, two], {"alpha": 0.5}))
    assert len(seen) == 6
    assert fingerprint([one], {"a": 1, "b": 2}) == fingerprint([one], {"b": 2, "a": 1})
