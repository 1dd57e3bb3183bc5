"""The package for colcon (ament_python) and for pip: the one place where its metadata lives.

pyproject.toml names the build backend and configures the tools; setup.cfg tells ament where executables go.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

NAME = "seg_perception"
URL = "https://github.com/seg-perception/seg_perception"
# colcon --symlink-install runs this file through a link; what is not installed (README.md) lies next to the original.
HERE = Path(__file__).resolve().parent
VERSION = re.findall(r'^__version__ = "(.+)"$', (HERE / NAME / "__init__.py").read_text(encoding="utf-8"), re.M)[0]

RUN = [
    "lz4",
    "numba",
    "numpy>=1.21",
    "onnx",
    "onnxruntime",
    "opencv-python-headless>=4.5",
    "pillow",
    "pyyaml",
    "rosbags>=0.11.9",
    "tqdm",
]
EVALUATE = ["scikit-image>=0.19"]
TEST = [*EVALUATE, "hypothesis", "mcap", "pytest>=7", "selenium>=4"]
EXTRAS = {
    # ROS 2 itself, from wheels. On a machine with an installed ROS 2, source that instead.
    "ros": [
        f"ros-{distro}-{package} ; {python}"
        for distro, python in (("jazzy", "python_version < '3.13'"), ("kilted", "python_version >= '3.13'"))
        for package in ("rclpy", "common-interfaces", "rmw-fastrtps-cpp")
    ],
    # NVIDIA GPUs. On a Jetson, JetPack brings its own TensorRT.
    "tensorrt": ["tensorrt>=10", "cuda-python>=12.8"],
    # The same for GeForce and RTX GPUs; it builds without a GPU, which the tests make use of.
    "tensorrt-rtx": [
        "cuda-python>=13",
        "tensorrt-rtx-cu13 ; platform_machine == 'x86_64' and sys_platform == 'linux'",
    ],
    "train": ["tensorboard", "torch>=2.3"],
    # Paths over costmaps: bench closed-loop, evaluate costmap.
    "evaluate": EVALUATE,
    # Replays over many cores or machines: replay --ray.
    "ray": ["ray>=2.9"],
    # The Rerun viewer: `rerun result.mcap` opens what a replay wrote.
    "view": ["rerun-sdk>=0.39"],
    # The site: make docs.
    "docs": ["mkdocs==1.6.*", "mkdocs-material==9.*", "mkdocstrings[python]==1.*"],
    # Named as colcon wants it: with pytest in "test", `colcon test` runs pytest.
    "test": TEST,
    # Checkers are held, so that a new release of theirs cannot fail an old commit. colcon wants setuptools below 80,
    # building without pip's isolation (test_package.py) wants one that brings bdist_wheel.
    "dev": [
        *TEST,
        "codespell==2.4.*",
        "colcon-common-extensions",
        "import-linter==2.17.*",
        "mypy==2.4.*",
        "pytest-cov",
        "pytest-xdist",
        "ruff==0.17.*",
        "setuptools>=70.1",
        "torchmetrics",  # an independent implementation of the metrics; brings PyTorch, so it is not in "test"
        "types-PyYAML",
        "types-tqdm",
    ],
}


def share(folder: str) -> list[tuple[str, list[str]]]:
    """One `data_files` entry per file below `folder`, which keeps its place under share/seg_perception."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
    return [(f"share/{NAME}/{path.parent.as_posix()}", [path.as_posix()]) for path in files]


setup(
    name=NAME,
    version=VERSION,
    description="Camera images to nav2 costmaps by Bayes risk",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    maintainer="seg_perception maintainers",
    maintainer_email="maintainers@example.org",
    license="Apache-2.0",
    url=URL,
    project_urls={
        "Documentation": f"{URL}/blob/main/docs/index.md",
        "Changelog": f"{URL}/blob/main/CHANGELOG.rst",
        "Issues": f"{URL}/issues",
        "Source": URL,
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    install_requires=RUN,
    extras_require=EXTRAS,
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "report/assets/*", "datasets/layouts/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        # Where launch and `ros2 run` look; pip and colcon both keep the run bit.
        (f"lib/{NAME}", ["scripts/perception_node", "scripts/play"]),
        *share("config"),
        *share("launch"),
        *share("models"),
    ],
    entry_points={"console_scripts": ["seg-perception = seg_perception.cli.__main__:main"]},
    zip_safe=False,
)
