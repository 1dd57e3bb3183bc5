"""A recording through the pipeline, its costmaps judged by the truth that a bag holds."""

from __future__ import annotations

from collections.abc import Callable

from seg_perception.errors import GeometryError, PointsError, RecordingError
from seg_perception.evaluation.costmap.ground_truth import TruthSource
from seg_perception.evaluation.costmap.metrics import Rules
from seg_perception.evaluation.costmap.paths import Body
from seg_perception.evaluation.costmap.run import CostmapRun
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline, field_of_view
from seg_perception.recordings.readers.recording import Recording
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.pipeline import PipelineSettings


def judge_bag(
    recording: Recording,
    truth: TruthSource,
    engine: Engine,
    matrix: CostMatrix,
    settings: PipelineSettings,
    rules: Rules,
    body: Body,
    max_age_s: float,
    progress: Callable[[int, int | None], None],
) -> CostmapRun:
    """Judge the costmap of each image for which there is a truth close in time.

    Args:
        recording: with poses.
        truth: of the same odom.
        engine: opened with `graph_spec(settings)`.
        matrix: costs for its classes.
        settings: of the pipeline.
        rules: bands and tolerance.
        body: the robot, for planning.
        max_age_s: largest difference in time between image and truth, s.
        progress: called with images done and in all.

    Raises:
        RecordingError: there are no poses, or no image has a truth close to it.
    """
    if not recording.has_poses:
        raise RecordingError("the recording has no poses, and nothing says where its costmaps lie; record /tf too.")
    pipeline = Pipeline(engine, matrix, settings)
    run = CostmapRun(rules, body)
    first_problem = ""
    for number, item in enumerate(recording.frames()):
        if isinstance(item, Frame):
            try:
                result = pipeline.process(item)
                true = truth.at(item.stamp_ns, result.raster, item.odom_from_base, round(max_age_s * 1e9))
            except (GeometryError, PointsError) as error:
                first_problem = first_problem or f" The first problem: {error}"
                true = None
            if true is not None:
                run.add(result, true, field_of_view(result, settings))
        progress(number + 1, recording.expected_items)
    if not run.judged:
        raise RecordingError(
            f"no image has a truth within {max_age_s:g} s that can be brought to its costmap; check the stamps and "
            f"frames of both, or raise --max-age.{first_problem}"
        )
    return run
