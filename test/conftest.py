from __future__ import annotations

import ast
import os
import shutil
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before torch is imported: its threads spin while they wait, and the tests' networks are too small to gain from them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts the tests in the background has this signal ignored, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline fails on a busy machine and says nothing about the code. HYPOTHESIS_PROFILE=default brings it back.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "no_deadline"))

MARKS = {"rclpy": "ros", "torch": "torch"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file if the marks that were asked for exclude all of it: torch alone takes seconds."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    excluded = {name for name in MARKS if f"not {MARKS[name]}" in config.getoption("markexpr")}
    needed = needed_modules(collection_path)
    return any(None in needed.get(name, ()) for name in excluded) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests: `ros` and `torch` by path and imports, `slow` where whole commands or a browser run."""
    for item in items:
        path = item.path
        if "integration/ros" in path.as_posix():
            item.add_marker("ros")
        names = {item.name.split("[")[0], *getattr(item, "fixturenames", ())}
        for module, scopes in needed_modules(path).items():
            if None in scopes or names & scopes:
                item.add_marker(MARKS[module])
        if "chromium" in names or "end_to_end" in path.parts:
            item.add_marker("slow")


@cache
def needed_modules(path: Path) -> dict[str, set[str | None]]:
    """Which of `MARKS` a file imports, and which functions need it, also through helpers; None for the whole file."""
    found: dict[str, set[str | None]] = {}
    used: dict[str, set[str]] = {}  # function → names in it

    def visit(node: ast.AST, function: str | None) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = function or node.name
        if isinstance(node, ast.Name) and function is not None:
            used.setdefault(function, set()).add(node.id)
        for name in imported(node):
            if name.split(".")[0] in MARKS:
                found.setdefault(name.split(".")[0], set()).add(function)
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        methods = statement.body if isinstance(statement, ast.ClassDef) else [statement]
        for part in methods:
            visit(part, None)
    for functions in found.values():
        grown = True
        while grown:
            more = {name for name, names in used.items() if names & functions} - functions
            functions |= more
            grown = bool(more)
    return found


def imported(node: ast.AST) -> list[str]:
    """The modules that a node imports, by statement or by pytest.importorskip."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "importorskip":
        return [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
    return []


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of recorded data, which is not part of the repository; a test that needs it is skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEG_PERCEPTION_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}; name its folder in SEG_PERCEPTION_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a screen; a test that needs it is skipped where there is none."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("chromium and chromedriver are not installed; on Debian: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "window-size=1400,1000"),
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()
