"""Render a page: template, style and scripts from `assets/`, the content as one block of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from seg_perception.errors import RecordingError


@dataclass(frozen=True)
class Template:
    """The files in `assets/` of a page.

    Attributes:
        title: of the page.
        html: body of the page, within `frame.html`.
        styles: in order; later ones override earlier ones.
        scripts: in order; later ones use earlier ones.
    """

    title: str
    html: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]


DRIVE = Template(
    "Drive report",
    "drive.html",
    ("page.css",),
    ("elements.js", "common.js", "maps.js", "costmap.js", "charts.js", "tables.js", "player.js"),
)
EVALUATION = Template("Evaluation", "evaluation.html", ("page.css", "evaluation.css"), ("elements.js", "evaluation.js"))
BENCH = Template("Bench", "bench.html", ("page.css", "bench.css"), ("elements.js", "bench.js"))


def render(content: Mapping[str, Any], template: Template = DRIVE) -> str:
    """The HTML page.

    The page gets all text as JSON, and the scripts put it into text nodes, so it cannot become markup. "<" is escaped,
    because "</script" would end the block.

    Args:
        content: for the scripts of the template, for `DRIVE` from `report.content.collect`; all numbers are finite.
        template: of the page.
    """
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = _asset("frame.html").replace("{{main}}", _asset(template.html))
    page = page.replace("{{title}}", template.title).replace("{{eyebrow}}", template.title.lower())
    page = page.replace("{{style}}", "\n".join(map(_asset, template.styles)))
    page = page.replace("{{script}}", "\n".join(map(_asset, template.scripts)))
    return page.replace("{{content}}", data)


def write_page(page: str, out: Path) -> None:
    """Write a page; an existing one is replaced once the new one is complete.

    Raises:
        RecordingError: `out` cannot be written.
    """
    unfinished = out.with_name(out.name + ".part")
    try:
        unfinished.write_text(page, encoding="utf-8")
        os.replace(unfinished, out)
    except OSError as error:
        raise RecordingError(
            f"{out}: cannot be written ({error}); choose a folder with space and write permission."
        ) from None


def _asset(name: str) -> str:
    return (resources.files("seg_perception.report") / "assets" / name).read_text(encoding="utf-8")
