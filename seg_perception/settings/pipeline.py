"""Everything a user can set about the pipeline, read from one YAML; units, ranges and defaults stand at each field.

The fields are those of `GroundSettings` (how the ground is sampled), `ProjectionSettings` (how measured points become
ground and obstacles) and `GridSettings` (what the costmap remembers); config/pipeline.yaml lists them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from seg_perception.errors import ConfigError
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.settings.yaml_file import Section, load_yaml

_Settings = TypeVar("_Settings", GroundSettings, GridSettings, ProjectionSettings)


@dataclass(frozen=True)
class PipelineSettings:
    """What the pipeline is built with, beside network and cost matrix."""

    ground: GroundSettings = field(default_factory=GroundSettings)
    grid: GridSettings = field(default_factory=GridSettings)
    projection: ProjectionSettings = field(default_factory=ProjectionSettings)


def load_settings(path: Path) -> PipelineSettings:
    """Read pipeline settings; a key that is left out keeps its default.

    Raises:
        ConfigError: the file is wrong, names an unknown key, or a value is out of range.
    """
    top = load_yaml(path)
    settings = PipelineSettings(
        ground=_read(top, "ground", GroundSettings()),
        grid=_read(top, "grid", GridSettings()),
        projection=_read(top, "projection", ProjectionSettings()),
    )
    top.finish()
    return settings


def _read(top: Section, key: str, defaults: _Settings) -> _Settings:
    if key not in top:
        return defaults
    section = top.section(key)
    given: dict[str, Any] = {}
    for entry in fields(defaults):
        if entry.name in section:
            given[entry.name] = _READERS[type(getattr(defaults, entry.name))](section, entry.name)
    section.finish()
    try:
        return type(defaults)(**given)
    except ConfigError as error:
        raise ConfigError(f"{top.path}: {error}") from None


def _by_name(section: Section) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), section.number(name)) for name in section)


_READERS: dict[type, Callable[[Section, str], Any]] = {
    str: Section.text,
    int: lambda section, key: section.integer(key, 1, 10**9),
    float: Section.number,
    tuple: lambda section, key: _by_name(section.section(key)),
}
