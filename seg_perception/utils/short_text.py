"""Texts of a user, short enough for a message."""

from __future__ import annotations

from typing import Any


def shortened(value: Any, length: int = 40) -> str:
    """The value on one line, short enough for a sentence."""
    text = " ".join(str(value).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."
