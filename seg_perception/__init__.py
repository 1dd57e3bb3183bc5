"""Camera images to nav2 costmaps by Bayes risk.

The public Python API is what `__all__` lists. Each name is imported from its module on first use, so that
`import seg_perception` loads nothing heavy.

Example:
    ```python
    import seg_perception as sp

    settings = sp.PipelineSettings()
    engine = sp.open_engine("my.onnx", sp.graph_spec(settings))
    matrix = sp.CostMatrix.load("my_costs.yaml", engine.card.classes)
    pipeline = sp.Pipeline(engine, matrix, settings)
    with sp.open_recording("my_bag") as recording:
        for frame in recording.frames():
            if isinstance(frame, sp.Frame):
                print(pipeline.process(frame).costmap)
    ```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg_perception.errors import SegPerceptionError
    from seg_perception.geometry.camera import Camera
    from seg_perception.geometry.transforms import Transform
    from seg_perception.inference.backends import open_engine
    from seg_perception.pipeline.pipeline import Pipeline, graph_spec
    from seg_perception.pipeline.result import Result
    from seg_perception.recordings.readers.open_recording import open_recording
    from seg_perception.recordings.readers.recording import SourceOptions
    from seg_perception.risk.cost_matrix import CostMatrix
    from seg_perception.sensor_data.frame import Frame
    from seg_perception.settings.pipeline import PipelineSettings

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "CostMatrix",
    "Frame",
    "Pipeline",
    "PipelineSettings",
    "Result",
    "SegPerceptionError",
    "SourceOptions",
    "Transform",
    "__version__",
    "graph_spec",
    "open_engine",
    "open_recording",
]

_MODULES = {
    "Camera": "geometry.camera",
    "CostMatrix": "risk.cost_matrix",
    "Frame": "sensor_data.frame",
    "Pipeline": "pipeline.pipeline",
    "PipelineSettings": "settings.pipeline",
    "Result": "pipeline.result",
    "SegPerceptionError": "errors",
    "SourceOptions": "recordings.readers.recording",
    "Transform": "geometry.transforms",
    "graph_spec": "pipeline.pipeline",
    "open_engine": "inference.backends",
    "open_recording": "recordings.readers.open_recording",
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
