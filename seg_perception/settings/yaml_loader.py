"""The YAML of this package: PyYAML's safe loader with limits, unique keys and a location for every error."""

from __future__ import annotations

import re
from typing import Any

import yaml

from seg_perception.utils.short_text import shortened

MAX_VALUES = 10_000
"""Limit of the keys and values of a YAML file, those behind aliases counted each time. The largest file has 720."""

MAX_DEPTH = 50
"""Limit of the levels of nesting; the deepest file that is shipped has 7."""

_MAX_DIGITS = 1000  # PyYAML converts longer numbers in quadratic time, and Python refuses to print them


class StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, reads 1e3 as a number and says where a scalar is impossible.

    It stops where a file has too many values or is nested too deeply.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of finished nodes, by identity; the document keeps all of them alive

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As in SafeLoader, within the limits. An alias counts as much as what it stands for."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        before = self._values
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels of nesting", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                start = self.anchors[event.anchor].start_mark
                raise yaml.MarkedYAMLError(problem="found unconstructable recursive node", problem_mark=start)
            self._values += self._sizes[id(node)]
        else:
            self._values += 1
            self._sizes[id(node)] = self._values - before
        if self._values > MAX_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_VALUES} keys and values, counting what aliases stand for",
                problem_mark=mark,
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As in SafeLoader, whose errors about an impossible scalar do not say where it is."""
        kind = node.tag.rpartition(":")[2]
        try:
            if kind in ("int", "float") and isinstance(node, yaml.ScalarNode) and len(node.value) > _MAX_DIGITS:
                raise ValueError
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
            shown = f"'{shortened(node.value)}'" if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            raise yaml.MarkedYAMLError(
                problem=f"{shown} is not a valid {shortened(kind)} (put it in quotes if it is text)",
                problem_mark=node.start_mark,
            ) from None


def _construct_unique_mapping(loader: StrictLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise yaml.MarkedYAMLError(problem="a key must be a plain word or number", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key '{shortened(key)}' is given twice",
                problem_mark=key_node.start_mark,
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_unique_mapping)
# YAML 1.1, which PyYAML follows, takes 1e3 and 2.5e3 for text; nobody who writes them means text.
StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
