"""Value noise and hashes for all textures, anchored in world coordinates.

A texture must not swim when the camera moves, so everything here is a pure function of position and seed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_LATTICE = 64  # period of the noise, in wavelengths
_TEXELS = 4  # samples per wavelength: cubic upsampling once, cheap linear look-ups ever after
_ROW = 512  # cv2.remap refuses rows longer than 32767, so flat arrays are folded into rows of this length


@lru_cache(maxsize=1)
def _tile() -> F32:
    values = np.random.default_rng(20240229).random((_LATTICE, _LATTICE)).astype(np.float32)
    margin = 2
    wrapped = np.pad(values, margin, mode="wrap")
    size = wrapped.shape[0] * _TEXELS
    smooth = cv2.resize(wrapped, (size, size), interpolation=cv2.INTER_CUBIC)
    inner = margin * _TEXELS
    # One texel beyond the period, so that linear interpolation never needs a border rule.
    tile = smooth[inner : inner + _LATTICE * _TEXELS + 1, inner : inner + _LATTICE * _TEXELS + 1]
    return np.ascontiguousarray(np.clip((tile - 0.5) * 1.25 + 0.5, 0.0, 1.0), dtype=np.float32)


def value_noise(u: NDArray[Any], v: NDArray[Any], seed: NDArray[Any] | float = 0) -> F32:
    """Smooth noise with wavelength 1 in the units of `u` and `v`.

    Args:
        u: first coordinate, any shape.
        v: second coordinate, same shape.
        seed: shifts the pattern; a number or one per sample.

    Returns:
        float32 in [0, 1], mean about 0.5, shape of `u`.
    """
    x = _within_period((u + np.float32(0.618) * seed) * _TEXELS)
    y = _within_period((v + np.float32(0.367) * seed) * _TEXELS)
    count = x.size
    rows = -(-count // _ROW)
    folded = np.zeros((2, rows * _ROW), np.float32)
    folded[0, :count] = x
    folded[1, :count] = y
    maps = folded.reshape(2, rows, _ROW)
    if count == 0:
        return np.zeros(u.shape, np.float32)
    values = cv2.remap(_tile(), maps[0], maps[1], cv2.INTER_LINEAR)
    return np.asarray(values.ravel()[:count].reshape(u.shape), np.float32)


def _within_period(texels: NDArray[Any]) -> F32:
    """np.mod by the period, flat; that is a power of two, so this is the same to the bit, and several times as fast."""
    period = np.float32(_LATTICE * _TEXELS)
    return np.asarray(texels - np.floor(texels / period) * period, np.float32).ravel()


def antialiased_noise(
    u: NDArray[Any], v: NDArray[Any], wavelength: float, footprint: F32, seed: NDArray[Any] | float = 0
) -> F32:
    """Noise of a wavelength in metres, centred on zero, that fades out where a pixel is wider than the pattern.

    Args:
        u: first coordinate, m.
        v: second coordinate, m.
        wavelength: m.
        footprint: width of the pixel on the surface, m; without the fade distant texture would flicker.
        seed: shifts the pattern.

    Returns:
        float32 in [-0.5, 0.5], shape of `u`.
    """
    fade = np.clip(wavelength / (2.0 * footprint) - 0.25, 0.0, 1.0)
    scale = np.float32(1.0 / wavelength)
    result: F32 = (value_noise(u * scale, v * scale, seed) - np.float32(0.5)) * fade
    return result


def hash01(i: NDArray[Any], j: NDArray[Any], seed: NDArray[Any] | int = 0) -> F32:
    """A reproducible random number in [0, 1) for each pair of whole numbers (integer mixing, same on every machine)."""
    mixed = (
        np.atleast_1d(i).astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
        ^ np.asarray(j).astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
        ^ np.asarray(seed).astype(np.int64).astype(np.uint32) * np.uint32(0xC2B2AE3D)
    )
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed = (mixed ^ (mixed >> np.uint32(12))) * np.uint32(0x297A2D39)
    mixed = mixed ^ (mixed >> np.uint32(15))
    result: F32 = ((mixed >> np.uint32(8)).astype(np.float32)) * np.float32(2.0**-24)
    return result
