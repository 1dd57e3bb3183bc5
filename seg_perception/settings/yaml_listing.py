"""Writes settings with their defaults as commented YAML: the block of config/pipeline.yaml comes from here."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from seg_perception.settings.field import Setting, declared_sections

_LINE_LENGTH = 118


def yaml_default(declared: Setting) -> str:
    """The default as YAML writes it, which for texts, numbers, lists and mappings is as JSON does."""
    default: Any = declared.default
    return json.dumps(dict(default) if declared.kind == "numbers by name" else default)


def setting_lines(name: str, declared: Setting, indent: str, *notes: str) -> list[str]:
    """Comment and default of one setting.

    Args:
        name: the YAML key.
        declared: its declaration.
        indent: blanks before each line.
        notes: what to add to the limits in the comment.
    """
    limits = " ".join(filter(None, (declared.limits(), declared.unit)))
    remarks = "; ".join(each if declared.choices else each.replace(" ", "\xa0") for each in (limits, *notes) if each)
    comment = f"{declared.text} [{remarks}]" if remarks else declared.text
    lines = textwrap.wrap(comment, _LINE_LENGTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
    return [*(line.replace("\xa0", " ") for line in lines), f"{indent}{name}: {yaml_default(declared)}"]


def pipeline_yaml(settings: type) -> str:
    """Every setting in the sections of a dataclass, such as `PipelineSettings`, with its default."""
    lines: list[str] = []
    for name, (title, declared) in declared_sections(settings).items():
        lines += ["", f"##### {title}", f"{name}:"]
        for key, entry in declared.items():
            lines += setting_lines(key, entry, "  ")
    return "\n".join(lines[1:]) + "\n"
