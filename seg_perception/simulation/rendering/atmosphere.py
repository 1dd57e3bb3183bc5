"""Sky, haze, tone curve and the imperfections of the camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.simulation.conditions import Conditions
from seg_perception.simulation.rendering.noise import F32, value_noise


def light_colours(conditions: Conditions) -> tuple[F32, F32]:
    """Colour of sunlight and of skylight, float32 [3] each, linear, about 1."""
    warm = conditions.warmth
    low = np.clip(1.0 - conditions.sun_elevation / 0.35, 0.0, 1.0)
    sun = np.array([1.0 + 0.12 * warm + 0.1 * low, 1.0 - 0.08 * low, 1.0 - 0.18 * warm - 0.35 * low])
    clear = 1.0 - conditions.clouds
    sky = np.array([1.0 - 0.12 * clear + 0.1 * warm, 1.0, 1.0 + 0.16 * clear - 0.12 * warm])
    return sun.astype(np.float32), sky.astype(np.float32)


def sky_colour(rays: F32, conditions: Conditions) -> F32:
    """Sky radiance along rays.

    Args:
        rays: float32 [n, 3], unit, odom.
        conditions: clouds, sun, colour of the light.

    Returns:
        float32 [n, 3], linear, 1 is white at normal exposure.
    """
    up = np.clip(rays[:, 2], 0.0, 1.0)
    fade = np.exp(-4.5 * up)[:, None]
    clear = np.array([0.30, 0.52, 0.90], np.float32) * (1.0 - fade) + np.array([0.95, 1.08, 1.2], np.float32) * fade
    height = up + 0.12
    u, v = rays[:, 0] / height, rays[:, 1] / height
    shift = float(conditions.seed % 61)
    noise = 0.5 * value_noise(0.7 * u, 0.7 * v, shift) + 0.28 * value_noise(1.9 * u, 1.9 * v, shift)
    noise += 0.14 * value_noise(4.3 * u, 4.3 * v, shift) + 0.08 * value_noise(9.0 * u, 9.0 * v, shift)
    cover = np.clip((noise - 0.75 + 0.62 * conditions.clouds) * 4.5, 0.0, 1.0)[:, None]
    grey = 1.35 - 0.55 * conditions.clouds * (0.35 + noise)[:, None]
    cloud = np.array([1.0, 1.01, 1.03], np.float32) * grey
    colour = clear + cover * (cloud - clear)
    towards = np.clip(rays @ conditions.towards_sun().astype(np.float32), 0.0, 1.0)[:, None]
    sun, _ = light_colours(conditions)
    glow = min(conditions.sun, 2.0) * (0.12 * towards**6 + 0.6 * towards**60 + 6.0 * towards**1500)
    result: F32 = ((colour + glow * sun) * sun).astype(np.float32)
    return result


def apply_haze(colour: F32, distance: F32, conditions: Conditions) -> F32:
    """Mix float32 [n, 3] towards the colour of the horizon with distance float32 [n], m."""
    share = (1.0 - np.exp(-distance / conditions.visibility))[:, None]
    horizon = np.array([[1.0, 0.0, 0.02]], np.float32)
    result: F32 = (colour + share * (0.9 * sky_colour(horizon, conditions) - colour)).astype(np.float32)
    return result


def form_image(light: F32, edges: NDArray[np.bool_], conditions: Conditions, frame: int) -> NDArray[np.uint8]:
    """Form the camera's 8-bit image from linear light.

    Args:
        light: float32 [H, W, 3], linear, 1 is white at normal exposure.
        edges: bool [H, W], outlines of objects, which are blurred, as a real pixel averages over its area.
        conditions: exposure, contrast, blur, vignette, rain, noise.
        frame: number of the image, so that each has its own noise.

    Returns:
        uint8 [H, W, 3], sRGB.
    """
    height, width = light.shape[:2]
    soft = cv2.GaussianBlur(light, (3, 3), 0.8)
    light = np.where(edges[..., None], soft, light)
    sigma = conditions.blur * width / 480.0
    if sigma > 0.15:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
    rng = np.random.default_rng([conditions.seed, frame])
    if conditions.rain > 0.0:
        light = _add_rain_streaks(light, conditions.rain, rng)
    light = light * np.float32(conditions.exposure)
    if conditions.vignette > 0.0:
        across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
        down = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
        light *= (1.0 - 0.5 * conditions.vignette * (across**2 + down**2))[..., None]
    grey = np.float32(0.18)
    toned = grey * (np.maximum(light, 0.0) / grey) ** np.float32(conditions.contrast)
    knee = np.float32(0.7)
    toned = np.where(toned > knee, knee + (1 - knee) * (1.0 - np.exp(-(toned - knee) / (1 - knee))), toned)
    image = toned ** np.float32(1.0 / 2.2)
    if conditions.noise > 0.0:
        grain = rng.standard_normal((height, width, 1), np.float32) + 0.5 * rng.standard_normal(
            (height, width, 3), np.float32
        )
        image = image + np.float32(conditions.noise) * grain
    result: NDArray[np.uint8] = np.clip(image * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return result


def _add_rain_streaks(light: F32, rain: float, rng: np.random.Generator) -> F32:
    """Falling drops: bright, short, slightly slanted lines."""
    height, width = light.shape[:2]
    drops = (rng.random((height, width), np.float32) < 0.004 * rain).astype(np.float32)
    length = max(3, height // 30)
    kernel = np.zeros((length, length), np.float32)
    cv2.line(kernel, (length // 3, 0), (length // 2, length - 1), (1.0,), 1)
    lines = cv2.filter2D(drops, -1, kernel / kernel.sum() * 3.0)
    result: F32 = light + (0.12 * lines)[..., None]
    return result
