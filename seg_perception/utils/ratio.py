"""Division by arrays that may hold zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, element by element; NaN where `whole` is 0."""
    result: NDArray[np.float64] = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return result
