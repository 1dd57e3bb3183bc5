"""Check what ruff and mypy do not: the words of the project, the size of files and folders.

`python tools/check_tree.py` prints each violation as PATH:LINE: sentence, and exits 1 if there is one.
tools/banned_words.yaml lists the words, what to write instead, and the exceptions with their reasons.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHECKED = (
    *("seg_perception", "test", "examples", "docs", "launch", "config", "scripts"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.rst", "SECURITY.md", "CODE_OF_CONDUCT.md", "mkdocs.yml", ".github"),
    *("Makefile", ".ci", "setup.py", "package.xml"),
)
QUOTING = "test/unit/tools/test_check_tree.py"  # its tests need banned words
SUFFIXES = (".py", ".md", ".rst", ".yaml", ".yml", ".js", ".html", ".xml", "")
MAX_FILES = 15  # Python files of a folder
MAX_LINES = 300  # of a file of the package

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NAME_IN_PROSE = re.compile(r"\b_?[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+\b|\b[A-Za-z0-9]*[a-z][A-Z][A-Za-z0-9]*\b")


@dataclass(frozen=True)
class Rule:
    """A banned word or phrase.

    Attributes:
        pattern: matches whole words; case-insensitive but for "whole name".
        instead: what to write.
        where: "anywhere", "prose" (texts, comments, documents), "name" (words of identifiers and paths), or
            "whole name" (the identifier alone, less leading underscores).
        allowed: beginnings of paths in which it may stand.
    """

    pattern: re.Pattern[str]
    instead: str
    where: str
    allowed: tuple[str, ...]


class Words:
    """The rules of tools/banned_words.yaml, and the names that are kept in spite of them."""

    def __init__(self, path: Path) -> None:
        """Read the file."""
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        kept = content.pop("kept", {})
        self._rules = [
            Rule(
                re.compile(_whole(entry["not"]), re.RegexFlag(0) if where == "whole name" else re.IGNORECASE),
                entry["but"],
                where,
                tuple(entry.get("except in", {})),
            )
            for where, entries in content.items()
            for entry in entries
        ]
        self._prose = [rule for rule in self._rules if rule.where in ("anywhere", "prose")]
        # One search tells most texts to be clean, long before each rule would.
        self._any = re.compile("|".join(f"(?:{rule.pattern.pattern})" for rule in self._prose), re.IGNORECASE)
        self._kept = re.compile("|".join(map(_whole, kept)) if kept else "(?!)")
        self._of_name = cache(self._broken_by_name)

    def in_name(self, name: str, path: str) -> Iterator[str]:
        """One sentence for each rule that an identifier breaks."""
        for rule in self._of_name(name):
            if not path.startswith(rule.allowed):
                yield f"the name '{name}' is not a word of the field; write {rule.instead}."

    def in_prose(self, text: str, path: str) -> Iterator[tuple[int, str]]:
        """(line, sentence) for each violation; a phrase may go over the end of a line."""
        text = self._kept.sub(lambda name: "_" * len(name[0]), text)
        for rule in self._prose if self._any.search(text) else []:
            if not path.startswith(rule.allowed):
                for found in rule.pattern.finditer(text):
                    words = " ".join(found[0].split())
                    sentence = f"'{words}' is not a word of the field; write {rule.instead}."
                    yield text.count("\n", 0, found.start()), sentence
        for token in _NAME_IN_PROSE.finditer(text):
            for sentence in self.in_name(token[0], path):
                yield text.count("\n", 0, token.start()), sentence

    def _broken_by_name(self, name: str) -> list[Rule]:
        words, bare = split_name(name), name.lstrip("_")
        if self._kept.fullmatch(name):
            return []
        return [
            rule
            for rule in self._rules
            if (rule.where == "whole name" and rule.pattern.fullmatch(bare))
            or (rule.where in ("anywhere", "name") and rule.pattern.search(words))
        ]


def _whole(pattern: str) -> str:
    return rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])"


def split_name(name: str) -> str:
    """The words of an identifier: `PlaneLook` and `plane_look` become "plane look"."""
    return " ".join(part.lower() for part in _CAMEL.findall(name))


def python_texts(source: str) -> Iterator[tuple[int, str, bool]]:
    """(line, text, whether it is an identifier) of each token that people have written in a Python file."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string, True
        elif tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
            yield token.start[0], token.string, False


def check_words(path: str, source: str, words: Words) -> Iterator[str]:
    """Every violation of the word rules in a file, and in its path."""
    found = {(1, sentence) for part in Path(path).parts for sentence in words.in_name(Path(part).stem, path)}
    for line, text, is_name in python_texts(source) if path.endswith(".py") else [(1, source, False)]:
        if is_name:
            found |= {(line, sentence) for sentence in words.in_name(text, path)}
        else:
            found |= {(line + offset, sentence) for offset, sentence in words.in_prose(text, path)}
    yield from (f"{path}:{line}: {sentence}" for line, sentence in sorted(found))


def check_sizes(root: Path) -> Iterator[str]:
    """Folders with too many Python files, and files of the package with too many lines."""
    files = [
        path for folder in ("seg_perception", "test", "examples") for path in sorted((root / folder).rglob("*.py"))
    ]
    for folder in sorted({path.parent for path in files}):
        count = sum(path.parent == folder for path in files)
        if count > MAX_FILES:
            yield f"{folder.relative_to(root)}: has {count} Python files, {MAX_FILES} are allowed; split the folder."
    for path in files:
        name = path.relative_to(root).as_posix()
        count = len(path.read_text(encoding="utf-8").splitlines())
        if name.startswith("seg_perception/") and count > MAX_LINES:
            yield f"{name}:{MAX_LINES}: has {count} lines, {MAX_LINES} are allowed; split the file."


def checked_files(root: Path) -> Iterator[Path]:
    """The files whose words are checked."""
    for name in CHECKED:
        start = root / name
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            if (
                path.is_file()
                and path.suffix in SUFFIXES
                and "__pycache__" not in path.parts
                and path != root / QUOTING
            ):
                yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the violations; 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    root: Path = parser.parse_args(arguments).root
    words = Words(Path(__file__).with_name("banned_words.yaml"))
    found = list(check_sizes(root))
    for path in checked_files(root):
        found += check_words(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"), words)
    print("\n".join([*found, f"{len(found)} violations"]) if found else "Words and sizes are as they should be.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
