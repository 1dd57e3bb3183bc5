"""Declares a setting once: its default, unit, limits and text.

The dataclass, the YAML reader, the ROS parameters, the shipped files and the tables of the documentation all read the
declaration:

    @dataclass(frozen=True)
    class GridSettings:
        width: float = setting(20.0, "Extent along x of the odom frame.", unit="m", minimum=1.0, maximum=500.0)
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from numbers import Integral, Real
from typing import Any, Literal

from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import did_you_mean
from seg_perception.utils.short_text import shortened

SettingKind = Literal["text", "integer", "number", "texts", "numbers", "numbers by name"]
"""Type of a setting's value; `numbers by name` are pairs of a name and a number."""

SettingValue = str | int | float | tuple[str, ...] | tuple[float, ...] | tuple[tuple[str, float], ...]

_KINDS: dict[type, SettingKind] = {str: "text", int: "integer", float: "number", tuple: "texts"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Declaration of one setting.

    Attributes:
        default: value where the user gives none.
        text: what the setting is, in whole sentences without the unit.
        kind: type of the value; None takes that of the default, and `texts` for a tuple.
        unit: unit of the numbers; "" for none.
        minimum: least number allowed.
        maximum: greatest number allowed.
        choices: texts allowed; empty for any.
        changeable: whether a running node accepts another value.
    """

    default: SettingValue
    text: str
    kind: SettingKind | None = None
    unit: str = ""
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()
    changeable: bool = True

    def __post_init__(self) -> None:
        """Take the kind from the default."""
        if self.kind is None:
            object.__setattr__(self, "kind", _KINDS[type(self.default)])

    def checked(self, value: Any, where: str) -> Any:
        """The value in this setting's type, a `SettingValue`; a whole number is accepted as a number.

        Args:
            value: as the user gave it.
            where: what to call the setting in a message.

        Raises:
            ConfigError: the value has another type, is no choice, or lies outside the limits.
        """
        if self.kind == "numbers by name":
            return tuple(
                (name, float(self._checked_item(number, f"{where}.{shortened(name)}"))) for name, number in value
            )
        if self.kind in ("texts", "numbers"):
            if not isinstance(value, (list, tuple, array)):  # rclpy keeps numbers in an array
                raise ConfigError(f"{where} must be a list, not {value!r}.")
            return tuple(self._checked_item(item, where) for item in value)
        return self._checked_item(value, where)

    def limits(self) -> str:
        """The values allowed, in words without the unit; empty for any."""
        if self.choices:
            return ", ".join(self.choices)
        return f"{self.minimum:.10g} to {self.maximum:.10g}" if math.isfinite(self.minimum) else ""

    def _checked_item(self, value: Any, where: str) -> Any:
        if self.kind in ("text", "texts"):
            if not isinstance(value, str):
                raise ConfigError(f"{where} must be text, not {value!r}.")
            if self.choices and value not in self.choices:
                raise ConfigError(
                    f"{where} is '{value}'{did_you_mean(value, self.choices)}; use one of {', '.join(self.choices)}."
                )
            return value
        whole = self.kind == "integer"
        number_type: Any = Integral if whole else Real
        if isinstance(value, bool) or not isinstance(value, number_type):
            raise ConfigError(f"{where} must be a {'whole ' if whole else ''}number, not {value!r}.")
        try:
            is_finite = math.isfinite(value)
        except OverflowError:  # a whole number too long for a float
            raise ConfigError(f"{where} must be a finite number, not one beyond 1e308.") from None
        if not is_finite:
            raise ConfigError(f"{where} must be a finite number, not {value}.")
        if not self.minimum <= value <= self.maximum:
            unit = f" {self.unit}" if self.unit else ""
            raise ConfigError(f"{where} is {value}, but must lie within {self.limits()}{unit}.")
        return value if whole else float(value)


def setting(
    default: SettingValue,
    text: str,
    *,
    kind: SettingKind | None = None,
    unit: str = "",
    minimum: float = -math.inf,
    maximum: float = math.inf,
    choices: tuple[str, ...] = (),
    changeable: bool = True,
) -> Any:
    """A dataclass field that declares a setting; the arguments are those of `Setting`."""
    declared = Setting(default, text, kind, unit, minimum, maximum, choices, changeable)
    return dataclasses.field(default=default, metadata={"setting": declared})


def section(settings: type, title: str) -> Any:
    """A dataclass field that holds the settings of another dataclass, with a title for files and tables."""
    return dataclasses.field(default_factory=settings, metadata={"title": title, "settings": settings})


def declared_settings(settings: type) -> dict[str, Setting]:
    """The settings that a dataclass declares, by field name and in order."""
    fields = dataclasses.fields(settings)
    return {field.name: field.metadata["setting"] for field in fields if "setting" in field.metadata}


def declared_sections(settings: type) -> dict[str, tuple[str, dict[str, Setting]]]:
    """Title and settings of each section that a dataclass declares, by field name and in order."""
    return {
        field.name: (field.metadata["title"], declared_settings(field.metadata["settings"]))
        for field in dataclasses.fields(settings)
        if "settings" in field.metadata
    }


def check_settings(settings: Any, prefix: str) -> None:
    """Check every declared setting of a dataclass instance.

    Args:
        settings: the instance.
        prefix: name of its section, for messages.

    Raises:
        ConfigError: a value has another type, is no choice, or lies outside the limits.
    """
    for name, declared in declared_settings(type(settings)).items():
        declared.checked(getattr(settings, name), f"{prefix}.{name}")
