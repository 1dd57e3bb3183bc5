"""Reads files that a user names, without waiting for what never ends: regular files only, up to a size limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from seg_perception.errors import ConfigError

MAX_TEXT_BYTES = 1_000_000
"""Limit of a text file: settings, class names, point labels. The largest that is shipped takes 8 kB."""

_BLOCK_BYTES = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_small_text(
    path: Path | str, wanted: str = "a text file", max_bytes: int = MAX_TEXT_BYTES, encoding: str = "utf-8"
) -> str:
    """Read a text file at once.

    Args:
        path: the file.
        wanted: what the file should be, for messages.
        max_bytes: largest size allowed.
        encoding: "utf-8" or "utf-8-sig".

    Returns:
        Its text, with every line ending as a line feed.

    Raises:
        ConfigError: there is no such file, it is no regular file, it is too large, or it is not UTF-8 text.
    """
    shown = shortened_path(path)
    try:
        text = read_regular_file(path, max_bytes).decode(encoding)
    except FileNotFoundError:
        raise ConfigError(f"{shown}: no such file; check the path.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{shown}: is not UTF-8 text; give {wanted} saved as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read ({error.strerror}); give {wanted}.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_regular_file(path: Path | str, max_bytes: int) -> bytes:
    """Read a regular file at once. A file that grows beyond the limit while it is read is refused, too.

    Args:
        path: the file.
        max_bytes: largest size allowed.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, is larger than `max_bytes` or cannot be read; `strerror` says which.
    """
    with open_regular_file(path) as file:
        size, blocks = os.fstat(file.fileno()).st_size, []
        read = 0
        while max(size, read) <= max_bytes and (block := file.read(_BLOCK_BYTES)):
            blocks.append(block)
            read += len(block)
    if max(size, read) > max_bytes:
        raise OSError(None, f"{max(size, read)} bytes are more than the limit of {max_bytes}")
    return b"".join(blocks)


def open_regular_file(path: Path | str) -> BinaryIO:
    """Open a regular file to read it. A pipe or a device is refused and never waited for.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file or cannot be opened; `strerror` says which.
    """
    try:
        # Opening a pipe without O_NONBLOCK waits for its writer. O_NOCTTY: a terminal must not become ours.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:  # a null character or a lone surrogate
        raise OSError(None, "Its name is not a valid path") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise OSError(None, f"Is {next((name for is_kind, name in _KINDS if is_kind(mode)), 'a special file')}")
    return os.fdopen(handle, "rb")


def shortened_path(path: Path | str) -> str:
    """The path, or its end where it is too long for a sentence."""
    text = str(path)
    return text if len(text) <= 160 else f"...{text[-157:]}"
