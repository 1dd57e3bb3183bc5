"""Strict reading of YAML files: every mistake becomes one sentence with file, key and mend."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from seg_perception.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, reads 1e3 as a number and says where a scalar is impossible."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As in SafeLoader, which lets a date such as 2026-13-45 escape as a bare ValueError without its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"'{_shortened(node.value)}' is not a valid {kind} (put it in quotes if it is text)",
                problem_mark=node.start_mark,
            ) from None


def _construct_unique_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise yaml.MarkedYAMLError(problem="a key must be a plain word or number", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key '{_shortened(key)}' is given twice and only one of them can stand",
                problem_mark=key_node.start_mark,
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_unique_mapping)
# YAML 1.1, which PyYAML follows, takes 1e3 and 2.5e3 for text; nobody who writes them means text.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def load_yaml(path: Path | str) -> Section:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: the file.

    Returns:
        The top-level Section, from which typed values are taken.

    Raises:
        ConfigError: the file is missing, unreadable, empty, no YAML, no mapping, or gives a key twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the path.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a YAML file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; give a YAML file saved as UTF-8.") from None
    try:
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown line"
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{path}, {where}: {problem}; correct the YAML there.") from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(
            f"{path}: holds the control character #x{int(error.character):02x} at position {error.position}; "
            "give a plain text file."
        ) from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply to be read; flatten it.") from None
    if data is None:
        raise ConfigError(f"{path}: is empty; it must hold a YAML mapping.")
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: must hold a mapping (key: value) at its top level, not {_kind(data)}.")
    return Section(path, "", data)


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
        """A ConfigError that names this file and the dotted key; `problem` says what is wrong and how to mend it."""
        dotted = f"{self.name}.{key}" if self.name and key else (key or self.name)
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
                key, f"'{value}' is not known{did_you_mean(value, options)}; use one of {', '.join(options)}."
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
                raise self.error(f"{key}[{index}]", f"'{value}' is listed twice; keep one of the two.")
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
            raise self.error(key, f"must be a finite number, not {_shortened(value)}.")
        if not minimum <= value <= maximum:
            raise self.error(key, f"is {value}, but must lie within {_interval(minimum, maximum)}.")
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


def _shortened(value: Any) -> str:
    """The value on one line, short enough to stand in a sentence."""
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {_shortened(value)}"
    if isinstance(value, str):
        return f"the text '{_shortened(value)}'" if value.strip() else "empty text"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return f"a {type(value).__name__}"
