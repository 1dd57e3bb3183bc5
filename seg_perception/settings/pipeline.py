"""All settings of the pipeline; each is declared once, at its field, and one YAML file sets them.

The fields are those of `GroundSettings` (how the ground is sampled), `GridSettings` (size and evidence decay of the
grid) and `ProjectionSettings` (how measured points become ground and obstacles); config/pipeline.yaml lists them all.
"""

# ruff: noqa: RUF009 - the calls declare fields

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seg_perception.errors import ConfigError
from seg_perception.settings.field import Setting, SettingKind, declared_sections, section
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.settings.yaml_file import Section, load_yaml


@dataclass(frozen=True)
class PipelineSettings:
    """The settings of the pipeline, without network and cost matrix.

    The ground is sampled at the resolution of the grid, whatever `ground.resolution` was.

    Examples:
        >>> from seg_perception.settings.grid import GridSettings
        >>> sp.PipelineSettings(grid=GridSettings(width=40.0, height=40.0)).grid.half_life
        2.0
    """

    ground: GroundSettings = section(GroundSettings, "Ground: where the image is sampled")
    grid: GridSettings = section(GridSettings, "Grid: its size, and what it remembers")
    projection: ProjectionSettings = section(
        ProjectionSettings, "Projection: where things in the image are; see docs/concepts/ground_projection.md"
    )

    def __post_init__(self) -> None:
        """Give the ground the resolution of the grid."""
        if self.ground.resolution != self.grid.resolution:
            object.__setattr__(self, "ground", replace(self.ground, resolution=self.grid.resolution))

    @classmethod
    def from_values(cls, values: Mapping[str, Mapping[str, Any]]) -> PipelineSettings:
        """Settings from values by section and name; what is left out keeps its default.

        Args:
            values: such as {"grid": {"width": 30.0}}. `ground.resolution` is accepted where it equals
                `grid.resolution`.

        Raises:
            ConfigError: a value is outside its limits, or values do not go together.
        """
        grid = GridSettings(**values.get("grid", {}))
        ground = dict(values.get("ground", {}))
        check_ground_resolution(ground.pop("resolution", None), grid.resolution)
        return cls(
            ground=GroundSettings(**ground, resolution=grid.resolution),
            grid=grid,
            projection=ProjectionSettings(**values.get("projection", {})),
        )


def check_ground_resolution(given: Any, resolution: float) -> None:
    """Refuse a `ground.resolution` that contradicts the grid's. It was a setting once, and files still have it.

    Args:
        given: `ground.resolution`; None where it is left out.
        resolution: `grid.resolution`, m.

    Raises:
        ConfigError: the two differ.
    """
    if given is not None and given != resolution:
        raise ConfigError(
            f"ground.resolution is {given}, but grid.resolution is {resolution} m and holds for both; "
            "give grid.resolution alone."
        )


def load_settings(path: Path) -> PipelineSettings:
    """Read pipeline settings; a key that is left out keeps its default.

    Raises:
        ConfigError: the file is wrong, names an unknown key, or a value is outside its limits.
    """
    top = load_yaml(path)
    given = {
        name: _read(top.section(name), declared)
        for name, (_, declared) in declared_sections(PipelineSettings).items()
        if name in top
    }
    top.finish()
    try:
        return PipelineSettings.from_values(given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _read(section: Section, declared: Mapping[str, Setting]) -> dict[str, Any]:
    given = {name: _READERS[entry.kind](section, name) for name, entry in declared.items() if name in section}  # type: ignore[index]
    if section.name == "ground" and "resolution" in list(section):
        given["resolution"] = section.number("resolution")
    section.finish()
    return given


def _numbers_by_name(section: Section) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), section.number(name)) for name in section)


_READERS: dict[SettingKind, Callable[[Section, str], Any]] = {
    "text": Section.text,
    "integer": lambda section, key: section.integer(key, -(2**63), 2**63),
    "number": Section.number,
    "numbers by name": lambda section, key: _numbers_by_name(section.section(key)),
}
