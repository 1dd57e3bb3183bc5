"""How loops are compiled."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba.core import caching

from seg_perception.compiled import compiled


def total(values: np.ndarray) -> float:
    result = 0.0
    for i in range(values.size):
        result += values[i]
    return result


def test_a_compiled_loop_gives_what_the_loop_gives_and_keeps_what_is_not_finite() -> None:
    fast, values = compiled(total), np.random.default_rng(0).random(1000)
    assert fast(values) == pytest.approx(total(values), rel=1e-12)
    values[3] = np.nan
    assert np.isnan(fast(values))
    values[3] = np.inf
    assert fast(values) == np.inf


def test_where_nothing_can_be_written_code_is_compiled_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class NowhereLocator:
        @classmethod
        def from_function(cls, function: object, file: str) -> None:
            return None

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [NowhereLocator])
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [NowhereLocator], raising=False)
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(total)
    assert compiled(total)(np.ones(3)) == 3.0
