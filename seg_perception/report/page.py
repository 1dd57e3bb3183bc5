"""The page around the content: template, style and script from `assets/`, the content as one block of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

# In the order in which they need each other.
_SCRIPTS = ("common.js", "pictures.js", "costmap.js", "charts.js", "tables.js", "player.js")


def render(content: Mapping[str, Any]) -> str:
    """The HTML page.

    Text reaches the page only as JSON that the script puts into text nodes, so nothing in it can become markup;
    "<" is escaped because "</script" would otherwise end the block.

    Args:
        content: what `report.content.collect` returns; only finite numbers.
    """
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = _asset("page.html").replace("{{style}}", _asset("page.css"))
    page = page.replace("{{script}}", "\n".join(map(_asset, _SCRIPTS)))
    return page.replace("{{content}}", data)


def _asset(name: str) -> str:
    return (resources.files("seg_perception.report") / "assets" / name).read_text(encoding="utf-8")
