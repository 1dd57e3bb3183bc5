"""The package as its users get it: from pip, from colcon, and with nothing but what it says it needs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import seg_perception
from seg_perception.errors import SegPerceptionError
from seg_perception.utils.package_files import find, share_dir

ROOT = Path(__file__).resolve().parents[2]
# The only parts that may import more than a bare install brings, and what they may import then.
EXTRAS = {"training": "train", "ros": "ros"}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """The output of a command; the test fails with all of it when the command does."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def files_below(folder: Path, root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def shared_files() -> set[str]:
    """Where ament and launch expect the package's data, seen from the install prefix."""
    data = {"package.xml"}.union(*(files_below(ROOT / folder, ROOT) for folder in ("config", "launch", "models")))
    marker = "share/ament_index/resource_index/packages/seg_perception"
    return {marker} | {f"share/seg_perception/{name}" for name in data}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without build products, so that building leaves none in the real checkout."""
    copy = tmp_path_factory.mktemp("workspace") / "seg_perception"
    built = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "install", "log", "dist", "demo_out", "site"
    )
    return Path(shutil.copytree(ROOT, copy, ignore=built))


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip_wheel, "--wheel-dir", folder, ".", cwd=checkout)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]


def required(requirements: list[Requirement], extra: str = "") -> set[str]:
    """Names of the distributions that `pip install .` (or `.[extra]`) asks for."""
    return {
        canonicalize_name(requirement.name)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    }


def test_a_wheel_holds_all_code_and_all_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    data = {name for name in names if ".data/data/" in name}
    assert names - data == files_below(ROOT / "seg_perception", ROOT)
    executables = {f"lib/seg_perception/{path.name}" for path in (ROOT / "scripts").iterdir()}
    assert {name.split(".data/data/")[1] for name in data} == shared_files() | executables


def test_a_package_installed_by_pip_finds_its_own_data(wheel: Path, tmp_path: Path) -> None:
    pip_install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed"]
    run(*pip_install, "--prefix", tmp_path, wheel, cwd=tmp_path)
    library = sysconfig.get_path("purelib", vars={"base": str(tmp_path)})
    script = "from seg_perception.utils.package_files import find; print(find('package.xml'))"
    found = run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=library)
    assert Path(found.strip()) == tmp_path / "share/seg_perception/package.xml"
    assert (Path(sysconfig.get_path("scripts", vars={"base": str(tmp_path)})) / "seg-perception").is_file()
    for name in ("perception_node", "play"):
        assert os.access(tmp_path / "lib/seg_perception" / name, os.X_OK), "launch and `ros2 run` look for it there"


def test_the_executables_that_launch_starts_are_the_modules_own_main() -> None:
    for path in (ROOT / "scripts").iterdir():
        module = re.findall(r"^from (seg_perception\S+) import main$", path.read_text(), re.MULTILINE)
        assert len(module) == 1 and os.access(path, os.X_OK)
        assert "\ndef main(" in (ROOT / f"{module[0].replace('.', '/')}.py").read_text()


def test_a_checkout_finds_its_own_data() -> None:
    assert share_dir() == ROOT
    assert find("resource/seg_perception") == ROOT / "resource/seg_perception"


def test_a_missing_resource_is_reported_with_its_path() -> None:
    with pytest.raises(SegPerceptionError, match=re.escape(str(ROOT / "models" / "absent.onnx"))):
        find("models/absent.onnx")


def test_code_copied_without_its_data_is_reported_as_such(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "seg_perception", tmp_path / "seg_perception")
    script = """if True:
        from seg_perception.errors import SegPerceptionError
        from seg_perception.utils.package_files import share_dir
        try:
            share_dir()
        except SegPerceptionError as error:
            print(error)
    """
    said = run(sys.executable, "-c", script, cwd=tmp_path)
    assert str(tmp_path / "seg_perception") in said
    assert "install the package with pip or colcon" in said


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(top-level name, whether it is imported as soon as the module is) of every absolute import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], id(node) not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], id(node) not in lazy


def test_a_bare_install_asks_for_exactly_what_the_code_imports(requirements: list[Requirement]) -> None:
    own = {*sys.stdlib_module_names, "seg_perception"}
    provider = packages_distributions()
    bare = required(requirements)
    used: set[str] = set()
    for path in sorted((ROOT / "seg_perception").rglob("*.py")):
        part = path.relative_to(ROOT / "seg_perception").parts[0]
        allowed = bare | required(requirements, EXTRAS[part]) if part in EXTRAS else bare
        for name, at_once in imports(path):
            if name in own:
                continue
            distributions = {canonicalize_name(distribution) for distribution in provider.get(name, [name])}
            used |= distributions
            if part == "ros" and (name not in provider or f"ros-{canonicalize_name(name)}" in distributions):
                continue  # a part of ROS 2: rclpy and common_interfaces bring it in, or it is not installed here
            if at_once:
                assert distributions & allowed, f"{path} imports {name}, which setup.py does not ask for"
    assert bare <= used


def test_everything_outside_training_and_ros_imports_without_their_packages(tmp_path: Path) -> None:
    script = f"""if True:
        import importlib, pkgutil, sys
        for absent in ("torch", "rclpy", "tensorrt", "rerun"):
            sys.modules[absent] = None
        import seg_perception
        for module in pkgutil.walk_packages(seg_perception.__path__, "seg_perception."):
            if module.name.split(".")[1] not in {set(EXTRAS)}:
                importlib.import_module(module.name)
    """
    run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(ROOT))


def test_code_package_manifest_and_changelog_name_one_version() -> None:
    version = seg_perception.__version__
    assert f"<version>{version}</version>" in (ROOT / "package.xml").read_text(encoding="utf-8")
    newest = re.search(r"^(\S.*)\n-+$", (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == "Forthcoming" or newest[1].startswith(f"{version} (")


def test_colcon_builds_an_ament_python_package(checkout: Path) -> None:
    pytest.importorskip("colcon_ros", reason="colcon is not installed: pip install colcon-common-extensions")
    colcon = Path(sys.executable).with_name("colcon")
    workspace = checkout.parent
    home = str(workspace / "colcon_home")

    listed = run(colcon, "--log-base", os.devnull, "list", cwd=workspace, COLCON_HOME=home)
    assert listed.split() == ["seg_perception", "seg_perception", "(ros.ament_python)"]

    said = run(colcon, "build", cwd=workspace, COLCON_HOME=home)
    assert "doesn't explicitly install" not in said
    prefix = workspace / "install" / "seg_perception"
    assert shared_files() <= files_below(prefix, prefix)
    for name in ("seg-perception", "perception_node", "play"):
        assert os.access(prefix / "lib/seg_perception" / name, os.X_OK)

    (code,) = prefix.glob("lib/python3*/site-packages")
    script = "from seg_perception.utils.package_files import find; print(find('package.xml'))"
    found = run(sys.executable, "-c", script, cwd=workspace / "log", PYTHONPATH=str(code))
    assert Path(found.strip()) == prefix / "share/seg_perception/package.xml"
