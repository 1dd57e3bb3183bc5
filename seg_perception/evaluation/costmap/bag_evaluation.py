"""Evaluate the costmaps of a recording against the ground truth of a bag."""

from __future__ import annotations

from collections.abc import Callable

from seg_perception.errors import GeometryError, PointCloudError, RecordingError
from seg_perception.evaluation.costmap.evaluator import CostmapEvaluator
from seg_perception.evaluation.costmap.ground_truth import GroundTruthSource
from seg_perception.evaluation.costmap.metrics import CostmapEvaluationConfig
from seg_perception.evaluation.costmap.paths import RobotFootprint
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import field_of_view
from seg_perception.recordings.readers.recording import Recording
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.pipeline import PipelineSettings


def evaluate_bag(
    recording: Recording,
    ground_truth: GroundTruthSource,
    engine: Engine,
    matrix: CostMatrix,
    settings: PipelineSettings,
    config: CostmapEvaluationConfig,
    footprint: RobotFootprint,
    max_age_s: float,
    progress: Callable[[int, int | None], None],
) -> CostmapEvaluator:
    """Evaluate the costmap of each image with ground truth near it in time.

    Args:
        recording: with poses.
        ground_truth: in the same odom frame.
        engine: opened with `graph_spec(settings)`.
        matrix: costs of its classes.
        settings: of the pipeline.
        config: distance bands and tolerance.
        footprint: of the robot, for planning.
        max_age_s: largest difference of the stamps of image and ground truth, s.
        progress: called with the number of images done and the total (None if unknown).

    Raises:
        RecordingError: there are no poses, or no image has ground truth near it in time.
    """
    if not recording.has_poses:
        raise RecordingError("the recording has no poses, so its costmaps have no position in odom; record /tf too.")
    pipeline = Pipeline(engine, matrix, settings)
    evaluator = CostmapEvaluator(config, footprint)
    first_problem = ""
    for number, item in enumerate(recording.frames()):
        if isinstance(item, Frame):
            try:
                result = pipeline.process(item)
                actual = ground_truth.at(item.stamp_ns, result.bounds, item.odom_from_base, round(max_age_s * 1e9))
            except (GeometryError, PointCloudError) as error:
                first_problem = first_problem or f" The first problem: {error}"
                actual = None
            if actual is not None:
                evaluator.add(result, actual, field_of_view(result, settings))
        progress(number + 1, recording.expected_items)
    if not evaluator.costmaps:
        raise RecordingError(
            f"no image has ground truth within {max_age_s:g} s that can be transformed to its costmap; check the "
            f"stamps and frames of both, or raise --max-age.{first_problem}"
        )
    return evaluator
