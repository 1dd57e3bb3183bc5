"""Hot loops as machine code: Numba compiles a function when it is first called, and keeps it on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound="Callable[..., object]")

# Numbers that are not finite stay what they are; sums may be taken in another order, and products be fused.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def compiled(function: Function) -> Function:
    """A function over arrays and numbers, compiled for the types it is called with.

    It runs without the interpreter's lock, and without checks of its indices.
    """
    try:
        return cast(Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # neither beside the package nor in the home folder can anything be written
        return cast(Function, numba.njit(**_OPTIONS)(function))
