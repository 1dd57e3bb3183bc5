"""The page around the content: template, style and script from `assets/`, the content as one block of JSON."""

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
    """Files in `assets/` that make a page.

    Attributes:
        title: of the page.
        html: what stands within `frame.html`.
        styles: later ones outrank earlier ones.
        scripts: in the order in which they need each other.
    """

    title: str
    html: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]


DRIVE = Template(
    "Drive report",
    "drive.html",
    ("page.css",),
    ("elements.js", "common.js", "pictures.js", "costmap.js", "charts.js", "tables.js", "player.js"),
)
EVALUATION = Template("Evaluation", "evaluation.html", ("page.css", "evaluation.css"), ("elements.js", "evaluation.js"))
BENCH = Template("Bench", "bench.html", ("page.css", "bench.css"), ("elements.js", "bench.js"))


def render(content: Mapping[str, Any], template: Template = DRIVE) -> str:
    """The HTML page.

    Text reaches the page only as JSON that the script puts into text nodes, so nothing in it can become markup;
    "<" is escaped because "</script" would otherwise end the block.

    Args:
        content: what the template's scripts read, for `DRIVE` from `report.content.collect`; only finite numbers.
        template: which page.
    """
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = _asset("frame.html").replace("{{main}}", _asset(template.html))
    page = page.replace("{{title}}", template.title).replace("{{eyebrow}}", template.title.lower())
    page = page.replace("{{style}}", "\n".join(map(_asset, template.styles)))
    page = page.replace("{{script}}", "\n".join(map(_asset, template.scripts)))
    return page.replace("{{content}}", data)


def write_page(page: str, out: Path) -> None:
    """Write a page; an existing one is replaced, and only once the new one is complete.

    Raises:
        RecordingError: `out` cannot be written.
    """
    unfinished = out.with_name(out.name + ".part")
    try:
        unfinished.write_text(page, encoding="utf-8")
        os.replace(unfinished, out)
    except OSError as error:
        raise RecordingError(f"{out}: cannot be written ({error}); choose a folder with room and permission.") from None


def _asset(name: str) -> str:
    return (resources.files("seg_perception.report") / "assets" / name).read_text(encoding="utf-8")
