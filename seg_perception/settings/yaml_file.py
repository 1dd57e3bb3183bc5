"""Strict reading of YAML files: every mistake becomes one sentence with file, key and fix."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_loader import StrictLoader
from seg_perception.utils.short_text import shortened
from seg_perception.utils.small_files import read_small_text

MAX_YAML_BYTES = 250_000
"""Limit of a YAML file; the largest that is shipped takes 8 kB."""

_MAX_PROBLEM, _MAX_KEY = 150, 120  # characters in a message


def load_yaml(path: Path | str) -> Section:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: the file.

    Returns:
        The top-level Section, from which typed values are taken.

    Raises:
        ConfigError: the file is missing, no regular file, unreadable, empty, too large, no YAML, no mapping, or gives
            a key twice.
    """
    path = Path(path)
    text = read_small_text(path, "a YAML file", MAX_YAML_BYTES)
    loader = None
    try:
        loader = StrictLoader(text)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise _yaml_error(path, error.problem_mark, problem) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(
            f"{path}: holds the control character #x{int(error.character):02x} at position {error.position}; "
            "give a plain text file."
        ) from None
    except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF", or a version of a thousand digits
        raise _yaml_error(path, loader.get_mark() if loader else None, "an impossible number or escape") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply to be read; flatten it.") from None
    finally:
        if loader is not None:
            loader.dispose()
    if data is None:
        raise ConfigError(f"{path}: is empty; it must hold a YAML mapping.")
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: must hold a mapping (key: value) at its top level, not {_kind(data)}.")
    return Section(path, "", data)


def _yaml_error(path: Path, mark: yaml.Mark | None, problem: str) -> ConfigError:
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown line"
    return ConfigError(f"{path}, {where}: {shortened(problem, _MAX_PROBLEM)}; correct the YAML there.")


class Section:
    """One mapping of a YAML file, read key by key; what nobody asked for is an error at `finish()`.

    Attributes:
        path: the file it came from.
        name: dotted key of this mapping, "" at the top level.
    """

    def __init__(self, path: Path, name: str, data: Mapping[Any, Any]) -> None:
        self.path = path
        self.name = name
        self._data = data
        self._asked: set[Any] = set()

    def __contains__(self, key: str) -> bool:
        self._asked.add(key)  # an optional key is a known key even where it is left out
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def error(self, key: str, problem: str) -> ConfigError:
        """A ConfigError that names this file and the dotted key; `problem` says what is wrong and how to fix it."""
        dotted = shortened(f"{self.name}.{key}" if self.name and key else (key or self.name), _MAX_KEY)
        return ConfigError(f"{self.path}, key '{dotted}': {problem}" if dotted else f"{self.path}: {problem}")

    def value(self, key: str) -> Any:
        """The raw value of a required key."""
        self._asked.add(key)
        if key not in self._data:
            raise self.error(key, "is missing; add it.")
        return self._data[key]

    def text(self, key: str, choices: Iterable[str] | None = None) -> str:
        """A required, non-empty string, one of `choices` when they are given."""
        value = self.value(key)
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, f"must be text, not {_kind(value)}.")
        options = list(choices) if choices is not None else None
        if options is not None and value not in options:
            raise self.error(
                key,
                f"'{shortened(value)}' is not known{did_you_mean(value, options)}; use one of {', '.join(options)}.",
            )
        return value

    def number(self, key: str, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """A required finite number within [minimum, maximum]."""
        return self.as_number(key, self.value(key), minimum, maximum)

    def integer(self, key: str, minimum: int, maximum: int) -> int:
        """A required whole number within [minimum, maximum]."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a whole number, not {_kind(value)}.")
        self.as_number(key, value, minimum, maximum)
        return value

    def boolean(self, key: str) -> bool:
        """A required true or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {_kind(value)}.")
        return value

    def sequence(self, key: str) -> list[Any]:
        """A required list (its items unchecked)."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self.error(key, f"must be a list, not {_kind(value)}.")
        return value

    def texts(self, key: str) -> list[str]:
        """A required list of non-empty strings without repeats."""
        values = self.sequence(key)
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value.strip():
                raise self.error(f"{key}[{index}]", f"must be text, not {_kind(value)}.")
            if value in values[:index]:
                raise self.error(f"{key}[{index}]", f"'{shortened(value)}' is listed twice; keep one of the two.")
        return values

    def numbers(self, key: str, length: int | None = None) -> list[float]:
        """A required list of finite numbers, of `length` items when it is given."""
        values = self.sequence(key)
        if length is not None and len(values) != length:
            raise self.error(key, f"must have {length} numbers, not {len(values)}.")
        return [self.as_number(f"{key}[{index}]", value) for index, value in enumerate(values)]

    def section(self, key: str) -> Section:
        """A required nested mapping."""
        value = self.value(key)
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be a mapping (key: value), not {_kind(value)}.")
        dotted = f"{self.name}.{key}" if self.name else key
        return Section(self.path, dotted, value)

    def as_number(self, key: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """Check one value already taken from the file; `key` is only for the message."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(key, f"must be a number, not {_kind(value)}.")
        try:
            finite = math.isfinite(value)
        except OverflowError:  # a whole number too long for a float
            finite = False
        if not finite:
            raise self.error(key, f"must be a finite number, not {shortened(value)}.")
        if not minimum <= value <= maximum:
            raise self.error(key, f"is {shortened(value)}, but must lie within {_interval(minimum, maximum)}.")
        return float(value)

    def finish(self) -> None:
        """Refuse keys that nobody read: a typing error must not be taken for a default."""
        for key in self._data:
            if key not in self._asked:
                known = sorted(str(name) for name in self._asked)
                raise self.error(
                    str(key), f"is not a known key{did_you_mean(str(key), known)}; known here: {', '.join(known)}."
                )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' for the nearest known word, else ''."""
    folded = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(word.lower(), list(folded), n=1)
    return f" (did you mean '{folded[nearest[0]]}'?)" if nearest else ""


def _interval(minimum: float, maximum: float) -> str:
    if math.isinf(maximum):
        return f"{minimum:g} and above"
    if math.isinf(minimum):
        return f"{maximum:g} and below"
    return f"{minimum:g} to {maximum:g}"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {shortened(value)}"
    if isinstance(value, str):
        return f"the text '{shortened(value)}'" if value.strip() else "empty text"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return f"a {type(value).__name__}"
