"""Which backend runs a network: the one function that opens an engine."""

from __future__ import annotations

from pathlib import Path

from seg_perception.inference.engine import Engine
from seg_perception.inference.graph import GraphSpec
from seg_perception.inference.onnx_engine import OnnxEngine


def open_engine(
    model: Path | str, spec: GraphSpec, card: Path | str | None = None, threads: int | None = None
) -> Engine:
    """Open a network for running, after checking that it is what its model card says.

    Args:
        model: ONNX file of a segmentation network: an image in, class scores for its pixels out, in any form that
            `read_network` and `score_form` know.
        spec: number of ground samples and options.
        card: model card; by default the model's name with the suffix .yaml.
        threads: CPU threads per run; by default one per physical core.

    Raises:
        ModelError: the model or its card cannot be used; one sentence says why and what to do.
        ConfigError: the model card has a mistake.
    """
    return OnnxEngine(Path(model), spec, Path(card) if card is not None else None, threads)
