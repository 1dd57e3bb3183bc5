"""Write the command line's reference from its parser: python tools/cli_reference.py [--check].

docs/reference/cli.md gets one section per command between `<!-- cli -->` and `<!-- /cli -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from seg_perception.cli.__main__ import build_parser

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
_BLOCK = re.compile(r"(<!-- cli -->\n).*?(<!-- /cli -->)", re.DOTALL)


def sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A markdown section for each command, in the order of the help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                nested = [child for child in command._actions if isinstance(child, argparse._SubParsersAction)]
                yield f"## {command.prog}\n\n{sentence(texts.get(name) or command.description or '')}\n"
                yield from sections(command) if nested else [table(command)]


def table(command: argparse.ArgumentParser) -> str:
    """The arguments of a command as a markdown table."""
    rows = ["| argument | default | what |", "| --- | --- | --- |"]
    for action in command._actions:
        if not isinstance(action, argparse._HelpAction):
            rows.append(f"| {usage(action)} | {default(action)} | {description(action)} |")
    return "\n".join(rows) + "\n" if len(rows) > 2 else "It takes no arguments.\n"


def usage(action: argparse.Action) -> str:
    """How an argument is written."""
    values = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    written = " ".join(values) if isinstance(values, tuple) else values
    many = {"+": f"{written} ...", "*": f"[{written} ...]", "?": f"[{written}]", 0: ""}
    written = many.get(action.nargs or "", written) if action.nargs != 0 else ""
    name = ", ".join(action.option_strings)
    return f"`{f'{name} {written}'.strip()}`".replace("|", "\\|")


def default(action: argparse.Action) -> str:
    """The default, where there is one to tell."""
    if action.required or action.default in (None, False, [], argparse.SUPPRESS):
        return "required" if action.required else ""
    shown = action.default
    return f"`{' '.join(map(str, shown)) if isinstance(shown, (list, tuple)) else shown}`"


def description(action: argparse.Action) -> str:
    """The help text."""
    return sentence((action.help or "").replace("%%", "%").replace("%(prog)s", "seg-perception").replace("|", "\\|"))


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def updated(page: str) -> str:
    """The page with its commands renewed."""
    commands = "\n".join(sections(build_parser()))
    return _BLOCK.sub(lambda block: f"{block[1]}\n{commands}\n{block[2]}", page)


def main() -> int:
    """Renew the page, or tell by the exit code whether it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare; 1 if the page is out of date")
    check = parser.parse_args().check
    old = PAGE.read_text(encoding="utf-8")
    new = updated(old)
    if check:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
