from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_tree", ROOT / "tools" / "check_tree.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_tree"] = module
    spec.loader.exec_module(module)
    return module


def tree(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def test_a_clean_tree_passes(checker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = 'def look_up(line_of_sight):\n    """Choose the ground truth that goes on /tf; walk the dog."""\n'
    tree(tmp_path, {"seg_perception/a.py": clean, "README.md": "Look here, and choose a place.\n"})
    assert checker.main(["--root", str(tmp_path)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "line", "word"),
    [
        ("seg_perception/a.py", "x = 1\nclass PlaneLook: ...\n", 2, "PlaneLook"),
        ("seg_perception/a.py", "def told_from_true(): ...\n", 1, "told_from_true"),
        ("seg_perception/a.py", '"""Text.\n\nIt goes\non."""\n', 3, "goes on"),
        ("seg_perception/a.py", 'x = f"{1} lies beside it"\n', 1, "beside"),
        ("seg_perception/a.py", "x = 1  # the truth\n", 1, "truth"),
        ("seg_perception/best_way.py", "", 1, "best_way"),
        ("docs/a.md", "# Doubt\n", 1, "Doubt"),
        ("docs/a.md", "see `told_from_true`\n", 1, "told"),
        ("config/a.yaml", "a: 1  # dearer\n", 1, "dearer"),
        ("README.md", "one\none look at it\n", 2, "one look"),
    ],
)
def test_a_banned_word_is_found_where_it_stands(
    checker: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    line: int,
    word: str,
) -> None:
    tree(tmp_path, {name: content})
    assert checker.main(["--root", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert f"{name}:{line}: " in output and f"'{word}'" in output


def test_files_and_folders_that_are_too_large_are_found(
    checker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = {f"test/unit/part/test_{number}.py": "" for number in range(16)}
    tree(tmp_path, {**many, "seg_perception/long.py": "\n" * 301})
    assert checker.main(["--root", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "test/unit/part: has 16 Python files, 15 are allowed" in output
    assert "seg_perception/long.py:300: has 301 lines, 300 are allowed" in output
