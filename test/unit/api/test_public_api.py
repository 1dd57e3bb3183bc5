from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import seg_perception as sp

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("cv2", "numba", "numpy", "onnx", "onnxruntime", "rclpy", "rosbags", "torch", "yaml")


def printed(script: str, folder: Path) -> str:
    """What a new Python process prints that finds this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_import_loads_no_heavy_module(tmp_path: Path) -> None:
    script = "import sys; before = set(sys.modules); import seg_perception; print(*(set(sys.modules) - before))"
    loaded = {name.split(".")[0] for name in printed(script, tmp_path).split()}
    assert "seg_perception" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_import_takes_no_noticeable_time(tmp_path: Path) -> None:
    script = (
        "import time, numpy; start = time.perf_counter(); import seg_perception; print(time.perf_counter() - start)"
    )
    assert min(float(printed(script, tmp_path)) for _ in range(3)) < 0.15


@pytest.mark.parametrize("name", sp.__all__)
def test_each_public_name_is_importable_and_documented(name: str) -> None:
    value = getattr(sp, name)
    assert name in dir(sp)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse((ROOT / "seg_perception" / "__init__.py").read_text(encoding="utf-8"))
    declared = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == {name: getattr(sp, name).__module__ for name in sp.__all__ if name != "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Pipline'"):
        sp.Pipline  # noqa: B018
