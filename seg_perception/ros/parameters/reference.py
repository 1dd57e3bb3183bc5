"""Writes the tables of topics and parameters, and the files of settings, from their declarations in the code.

`python -m seg_perception.ros.parameters.reference` prints the tables. With `--write FILE...` it writes them into files,
between lines such as `<!-- topics -->` and `<!-- /topics -->`. Blocks: topics, inputs, outputs, parameters, camera
parameters, parameter file, pipeline settings. A file may lie anywhere; what is outside the blocks stays.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from seg_perception.ros.parameters.table import CAMERA_PARAMETERS, GROUPS, NodeParameter
from seg_perception.ros.topics import TOPICS
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.yaml_listing import pipeline_yaml, setting_lines, yaml_default


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
            f"`{yaml_default(entry.setting)}`",
            entry.setting.unit,
            entry.setting.limits(),
            "changeable" if entry.setting.changeable else "fixed",
            entry.setting.text,
        )
        for entry in entries
    ]
    return _table(("parameter", "default", "unit", "allowed", "while running", "what"), rows)


def parameter_file() -> str:
    """All parameters with their defaults, as lines below `ros__parameters:` of a parameter file."""
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
            notes = () if entry.setting.changeable else ("fixed while running",)
            lines += setting_lines(name, entry.setting, indent, *notes)
    return "\n".join(lines[1:]) + "\n"


_BLOCKS: dict[str, Callable[[], str]] = {
    "inputs": lambda: topics("in"),
    "outputs": lambda: topics("out"),
    "topics": lambda: f"{topics('in')}\n{topics('out')}",
    "parameters": parameters,
    "camera parameters": camera_parameters,
    "parameter file": parameter_file,
    "pipeline settings": lambda: pipeline_yaml(PipelineSettings),
}
_BLOCK = re.compile(
    rf"^(?P<start>(?:# )?<!-- (?P<name>{'|'.join(_BLOCKS)}) -->\n).*?(?P<end>^(?:# )?<!-- /(?P=name) -->)$",
    re.DOTALL | re.MULTILINE,
)


def update(text: str) -> str:
    """The text with every block between markers rewritten from the code; the rest stays as it is."""
    return _BLOCK.sub(lambda block: block["start"] + _BLOCKS[block["name"]]() + block["end"], text)


def has_blocks(text: str) -> bool:
    """Whether the text has a block between markers."""
    return _BLOCK.search(text) is not None


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them into files."""
    parser = argparse.ArgumentParser(prog="python -m seg_perception.ros.parameters.reference", description=__doc__)
    parser.add_argument("--write", nargs="+", type=Path, metavar="FILE", help="files to write into")
    files = parser.parse_args(arguments).write
    if not files:
        print(topics("in"), topics("out"), parameters(), sep="\n", end="")
    for file in files or ():
        file.write_text(update(file.read_text(encoding="utf-8")), encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()
