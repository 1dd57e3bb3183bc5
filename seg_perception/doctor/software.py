"""Checks of Python, the libraries and the shipped network."""

from __future__ import annotations

import importlib
import statistics
import sys
from importlib import metadata
from types import ModuleType

import seg_perception
from seg_perception.doctor.finding import Finding, ok, problem, size
from seg_perception.errors import SegPerceptionError

_NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "rosbags": "rosbags",
}
_MODEL = "models/urban.onnx"
_RUNS = 5


def libraries() -> list[Finding]:
    """Check Python and every library that the package needs."""
    findings = [ok("Python", sys.version.split()[0]), ok("seg_perception", seg_perception.__version__)]
    findings += [_library(name, distribution) for name, distribution in _NEEDED.items()]
    return findings


def model() -> Finding:
    """Check that the shipped network opens, and time it on the CPU, which every machine has."""
    # Broken libraries are findings of their own; this module must import without them.
    try:
        from seg_perception.inference.backends import open_engine
        from seg_perception.pipeline.pipeline import graph_spec
        from seg_perception.settings.pipeline import PipelineSettings
        from seg_perception.utils.package_files import find

        path = find(_MODEL)
        engine = open_engine(path, graph_spec(PipelineSettings()), backend="onnx_cpu")
        try:
            milliseconds = statistics.median(engine.time_network(_RUNS))
            return ok(_MODEL, f"{size(path.stat().st_size)}, {milliseconds:.1f} ms per image; {engine.describe()}")
        finally:
            engine.close()
    except (SegPerceptionError, ImportError) as error:
        return problem(_MODEL, str(error))


def _library(name: str, distribution: str) -> Finding:
    fix = f"pip install {distribution}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        return problem(name, f"not installed ({error})", fix)
    except Exception as error:  # a library built for another numpy, or without its own shared objects
        return problem(name, f"cannot be loaded ({type(error).__name__}: {error})", fix + " --force-reinstall")
    found = _version(module, distribution)
    if name == "onnxruntime":
        found += ", with " + ", ".join(module.get_available_providers())
    return ok(name, found)


def _version(module: ModuleType, distribution: str) -> str:
    if version := getattr(module, "__version__", None):
        return str(version)
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"
