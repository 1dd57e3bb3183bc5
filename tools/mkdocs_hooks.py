"""What the site needs beyond mkdocs: links to files outside docs/ lead to the repository."""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)")
_LOG = logging.getLogger("mkdocs.hooks")  # a warning fails a strict build


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace relative links that leave docs/ by links to the file in the repository."""
    root = Path(config.config_file_path).parent

    def outside(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), link[1]))
        if target.startswith("docs/"):
            return link[0]
        if not (root / target).exists():
            _LOG.warning("%s: links to %s, which does not exist; correct the link.", page.file.src_uri, target)
        return f"{config.repo_url.rstrip('/')}/blob/main/{target}"

    return _LINK.sub(outside, markdown)
