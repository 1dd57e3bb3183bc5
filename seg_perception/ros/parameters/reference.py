"""The tables of topics and parameters, written from the code into the pages that show them.

`python -m seg_perception.ros.parameters.reference` prints the tables; with `--write FILE...` it renews them in files,
between the
lines `<!-- topics -->` and `<!-- /topics -->`; likewise for inputs, outputs, parameters, camera parameters, parameter
file.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from seg_perception.ros.parameters.table import CAMERA_PARAMETERS, GROUPS, NodeParameter
from seg_perception.ros.topics import TOPICS


def topics(direction: str) -> str:
    """A markdown table of the topics that go "in", or of those that go "out"."""
    rows = [
        (f"`{topic.name}`", topic.type, topic.qos, topic.when, topic.meaning)
        for topic in TOPICS
        if topic.direction == direction
    ]
    return _table((f"{'subscribed' if direction == 'in' else 'published'} topic", "type", "QoS", "when", "what"), rows)


def parameters() -> str:
    """A markdown table of all parameters."""
    return _parameters(entry for group in GROUPS for entry in group.parameters)


def camera_parameters() -> str:
    """A markdown table of the parameters that each of several cameras has."""
    return _parameters(replace(entry, name=f"NAME.{entry.name}") for entry in CAMERA_PARAMETERS)


def _parameters(entries: Iterable[NodeParameter]) -> str:
    rows = [
        (
            f"`{entry.name}`",
            f"`{_yaml(entry)}`",
            entry.limits(),
            "fixed" if entry.read_only else "changeable",
            entry.description,
        )
        for entry in entries
    ]
    return _table(("parameter", "default", "allowed", "while running", "what"), rows)


def parameter_file() -> str:
    """All parameters with their defaults, as they stand below `ros__parameters:` in a parameter file."""
    lines: list[str] = []
    for group in GROUPS:
        lines += ["", f"    ##### {group.title}"]
        section = ""
        for entry in group.parameters:
            prefix, _, name = entry.name.rpartition(".")
            if prefix != section:
                lines.append(f"    {prefix}:")
                section = prefix
            indent = "      " if section else "    "
            notes = "; ".join(filter(None, (entry.limits(), "fixed while running" if entry.read_only else "")))
            comment = f"{entry.description} [{notes}]" if notes else entry.description
            lines += textwrap.wrap(comment, 118, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
            lines.append(f"{indent}{name}: {_yaml(entry)}")
    return "\n".join(lines[1:]) + "\n"


_BLOCKS: dict[str, Callable[[], str]] = {
    "inputs": lambda: topics("in"),
    "outputs": lambda: topics("out"),
    "topics": lambda: f"{topics('in')}\n{topics('out')}",
    "parameters": parameters,
    "camera parameters": camera_parameters,
    "parameter file": parameter_file,
}
_BLOCK = re.compile(
    rf"^(?P<start>(?:# )?<!-- (?P<name>{'|'.join(_BLOCKS)}) -->\n).*?(?P<end>^(?:# )?<!-- /(?P=name) -->)$",
    re.DOTALL | re.MULTILINE,
)


def update(text: str) -> str:
    """The text with everything between its markers renewed; without markers it stays as it is."""
    return _BLOCK.sub(lambda block: block["start"] + _BLOCKS[block["name"]]() + block["end"], text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them into files."""
    parser = argparse.ArgumentParser(prog="python -m seg_perception.ros.parameters.reference", description=__doc__)
    parser.add_argument("--write", nargs="+", type=Path, metavar="FILE", help="renew the tables in these files")
    files = parser.parse_args(arguments).write
    if not files:
        print(topics("in"), topics("out"), parameters(), sep="\n", end="")
    for file in files or ():
        file.write_text(update(file.read_text(encoding="utf-8")), encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _yaml(entry: NodeParameter) -> str:
    """The default as YAML writes it, which for texts, numbers and lists is as JSON does."""
    return json.dumps(entry.default)


if __name__ == "__main__":
    main()
