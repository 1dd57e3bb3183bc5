"""Light, weather and the imperfections of the camera, random or chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Conditions:
    """Everything that changes the image but not the ground truth.

    Attributes:
        sun_azimuth: direction towards the sun in odom, rad from x towards y.
        sun_elevation: rad above the horizon.
        sun: strength of direct light relative to the sky's, 0 (overcast) to about 4 (clear).
        warmth: colour of the light, -1 (blue) to 1 (warm).
        clouds: share of the sky that is covered, 0..1.
        visibility: distance at which haze hides 63 % of an object, m.
        wetness: of the ground, 0..1.
        rain: streaks in the air, 0..1.
        exposure: brightness of the image, 1 is normal.
        contrast: of the tone curve, 1 is neutral.
        noise: standard deviation of the pixel noise, 0..1 grey.
        blur: standard deviation of the lens blur, pixels of a 480-wide image.
        vignette: darkening of the corners, 0..1.
        seed: of clouds and pixel noise.
    """

    sun_azimuth: float = 0.8
    sun_elevation: float = 0.7
    sun: float = 2.5
    warmth: float = 0.15
    clouds: float = 0.3
    visibility: float = 900.0
    wetness: float = 0.0
    rain: float = 0.0
    exposure: float = 1.0
    contrast: float = 1.2
    noise: float = 0.01
    blur: float = 0.4
    vignette: float = 0.15
    seed: int = 0

    def towards_sun(self) -> NDArray[np.float64]:
        """Unit vector float64 [3] in odom."""
        flat = math.cos(self.sun_elevation)
        return np.array(
            [flat * math.cos(self.sun_azimuth), flat * math.sin(self.sun_azimuth), math.sin(self.sun_elevation)]
        )


def random_conditions(rng: np.random.Generator) -> Conditions:
    """Clear, cloudy, overcast, wet, hazy or dusk, in roughly the shares of a northern European year."""
    kind = rng.choice(["clear", "cloudy", "overcast", "rain", "haze", "dusk"], p=[0.36, 0.24, 0.16, 0.07, 0.07, 0.10])
    sun = {"clear": 3.2, "cloudy": 1.6, "overcast": 0.0, "rain": 0.0, "haze": 0.7, "dusk": 0.5}[kind]
    clouds = {"clear": 0.15, "cloudy": 0.55, "overcast": 1.0, "rain": 1.0, "haze": 0.8, "dusk": 0.65}[kind]
    visibility = {"rain": rng.uniform(120.0, 400.0), "haze": rng.uniform(50.0, 180.0)}.get(kind, rng.uniform(300, 2500))
    return Conditions(
        sun_azimuth=float(rng.uniform(-math.pi, math.pi)),
        sun_elevation=float(rng.uniform(0.05, 0.25) if kind == "dusk" else rng.uniform(0.25, 1.0)),
        sun=float(sun * rng.uniform(0.6, 1.3)),
        warmth=float(rng.normal(0.05, 0.25) + (0.4 * rng.choice([-1.0, 1.0]) if kind == "dusk" else 0.0)),
        clouds=float(np.clip(clouds + rng.uniform(-0.15, 0.25), 0.0, 1.0)),
        visibility=float(visibility),
        wetness=float(rng.uniform(0.4, 1.0) if kind == "rain" else rng.choice([0.0, 0.3], p=[0.85, 0.15])),
        rain=float(rng.uniform(0.3, 1.0) if kind == "rain" else 0.0),
        exposure=float(np.exp(rng.normal(-0.12, 0.3)) * (0.45 if kind == "dusk" else 1.0)),
        contrast=float(rng.uniform(1.15, 1.75)),
        noise=float(rng.uniform(0.002, 0.012)),
        blur=float(rng.uniform(0.0, 0.55)),
        vignette=float(rng.uniform(0.0, 0.35)),
        seed=int(rng.integers(1 << 30)),
    )
