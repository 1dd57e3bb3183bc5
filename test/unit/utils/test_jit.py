"""Compiled loops: results, cache, and no compilation while images arrive."""

from __future__ import annotations

import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core import caching

from seg_perception.utils.jit import compiled


def total(values: np.ndarray) -> float:
    result = 0.0
    for i in range(values.size):
        result += values[i]
    return result


def test_a_compiled_loop_gives_the_same_result_and_keeps_nan_and_infinity() -> None:
    fast, values = compiled(total), np.random.default_rng(0).random(1000)
    assert fast(values) == pytest.approx(total(values), rel=1e-12)
    values[3] = np.nan
    assert np.isnan(fast(values))
    values[3] = np.inf
    assert fast(values) == np.inf


def test_without_a_writable_cache_the_code_is_compiled_again_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class NowhereLocator:
        @classmethod
        def from_function(cls, function: object, file: str) -> None:
            return None

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [NowhereLocator])
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [NowhereLocator], raising=False)
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(total)
    assert compiled(total)(np.ones(3)) == 3.0


FIRST_FRAMES = """
import numpy as np
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.costmap import kernels as costmap_kernels
from seg_perception.evaluation.costmap.standard_drives import standard_camera
from seg_perception.sensor_data.frame import DepthImage, Frame
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.cpu import certify_kernels, decide_kernels
from seg_perception.inference.backends import open_engine
from seg_perception.pipeline.pipeline import Pipeline, graph_spec
from seg_perception.projection import cell_lookup
from seg_perception.projection.flat_ground import kernels as flat_ground_kernels
from seg_perception.projection.range import kernels as range_kernels
from seg_perception.utils.package_files import find
from seg_perception.risk.cost_matrix import CostMatrix

def compiled_for():
    modules = (costmap_kernels, cell_lookup, flat_ground_kernels, range_kernels, certify_kernels, decide_kernels)
    return {(module.__name__, name): len(loop.signatures) for module in modules for name, loop in vars(module).items()
            if hasattr(loop, "signatures")}

settings = PipelineSettings()
engine = open_engine(find("models/urban.onnx"), graph_spec(settings), threads=1, backend="onnx_cpu")
matrix = CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)
pipeline, extrinsics = Pipeline(engine, matrix, settings), mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, 0.3, 0.0)
before = compiled_for()
assert sum(before.values()) > 10
camera, image = standard_camera(480, 360), np.random.default_rng(0).integers(0, 255, (360, 480, 3), np.uint8)
for number in range(4):
    pose = Transform.from_xyz_rpy(0.5 * number, 0.0, 0.0, 0.0, 0.0, 0.1)
    depth = DepthImage(number, np.full((360, 480), 3.0, np.float32), pose @ extrinsics) if number > 1 else None
    result = pipeline.process(Frame(number, image, "bgr", camera, pose, extrinsics, "camera", depth))
assert result.projection == "depth"
assert compiled_for() == before, {name: count for name, count in compiled_for().items() if count != before[name]}
"""


@pytest.mark.slow
def test_no_image_waits_for_a_loop_to_be_compiled_once_the_pipeline_is_open() -> None:
    ended = subprocess.run([sys.executable, "-c", FIRST_FRAMES], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
