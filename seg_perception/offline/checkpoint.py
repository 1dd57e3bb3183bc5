"""Checkpoints of a replay: an interrupted run resumes, and ends with the same bytes as an uninterrupted one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import RecordingError

_SAMPLE_BYTES = 2**16
_HEADER = "checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a replay between two images.

    Attributes:
        fingerprint: of input, configuration and versions; a run resumes only from a checkpoint with the same one.
        position: return value of `ResultWriter.flush`.
        items: number of images done, including dropped ones.
        arrays: state of the map, name to array.
        values: all other state as JSON: counters, timings.
    """

    fingerprint: str
    position: int
    items: int
    arrays: Mapping[str, NDArray[Any]]
    values: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write to a file in one step: whenever the process ends, the old or the new checkpoint is complete.

        Raises:
            RecordingError: the file cannot be written.
        """
        header = {
            "fingerprint": self.fingerprint,
            "position": self.position,
            "items": self.items,
            "values": self.values,
        }
        arrays: dict[str, Any] = {**self.arrays, _HEADER: np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                np.savez(file, **arrays)
            os.replace(part, path)
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be written ({error.strerror}); check the folder, its rights and its space."
            ) from None

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> Checkpoint:
        """Read a checkpoint of this input and configuration.

        Raises:
            RecordingError: there is none, it is damaged, or it belongs to another input or configuration.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
            header = json.loads(arrays.pop(_HEADER).tobytes())
            found = cls(header["fingerprint"], header["position"], header["items"], arrays, header["values"])
        except FileNotFoundError:
            raise RecordingError(f"{path}: there is no interrupted run to resume; run without --resume.") from None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise RecordingError(f"{path}: is damaged ({error}); run without --resume.") from None
        if found.fingerprint != fingerprint:
            raise RecordingError(
                f"{path}: belongs to a run with another input, configuration or version; "
                "resume with the same ones, or run without --resume."
            )
        return found


def items_done(path: Path) -> int:
    """How many images are done at a checkpoint of any run; 0 if there is none yet."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return int(json.loads(content[_HEADER].tobytes())["items"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return 0


def fingerprint(files: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """A SHA-256 that changes with the input and the settings.

    It covers name, size and the first and last 64 KiB of each file: reading all of a long recording would take too
    long.

    Args:
        files: the input, in order.
        settings: all else that the result depends on, as JSON.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        size = path.stat().st_size
        digest.update(f"\0{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))
            file.seek(max(0, size - _SAMPLE_BYTES))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
