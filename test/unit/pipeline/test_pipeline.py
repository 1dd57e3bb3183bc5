"""All stages together, with a fake engine whose probabilities are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.label_image_engine import CLASSES, MATRIX, label_image_engine, render_box, three_class_matrix

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import field_of_view
from seg_perception.pipeline.stages import STAGES
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.sensor_data.images.quality import sharpness
from seg_perception.settings.field import declared_sections
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings, load_settings

SETTINGS = PipelineSettings(
    GroundSettings(attitude_error=0.0005, max_samples=20_000),
    GridSettings(width=16.0, height=16.0, prior_strength=1e-4),
)
EXTRINSICS = mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, 0.35, 0.0)


@pytest.fixture
def matrix(tmp_path: Path) -> CostMatrix:
    return three_class_matrix(tmp_path)


def _camera(width: int = 320, height: int = 240) -> Camera:
    focal = 0.75 * width
    k = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
    return Camera.from_fields(width, height, "plumb_bob", k, [])


def _frame(odom_from_base: Transform, box: tuple[float, float, float, float] | None, stamp_ns: int = 10**9) -> Frame:
    image = render_box(_camera(), odom_from_base @ EXTRINSICS, box)
    return Frame(stamp_ns, image, "bgr", _camera(), odom_from_base, EXTRINSICS, "camera")


def _at(result, x: float, y: float) -> int:
    col, row = np.floor((np.array([x, y]) - result.bounds.origin) / result.bounds.resolution).astype(int)
    return int(result.costmap[row, col])


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.5])
def test_a_box_on_a_plane_marks_its_cells_and_hides_what_is_behind(matrix: CostMatrix, yaw: float) -> None:
    pose = Transform.from_xyz_rpy(1.23, -4.56, 0.0, 0.0, 0.0, yaw)
    local = pose.inverse()
    # The box stands 4 m ahead of the robot, axis-aligned in odom around that point.
    centre = pose.apply(np.array([4.0, 0.0, 0.0]))
    box = (centre[0] - 0.3, centre[0] + 0.3, centre[1] - 0.3, centre[1] + 0.3)
    result = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(_frame(pose, box))
    for ahead in np.arange(2.0, 3.4, 0.2):
        assert 0 <= _at(result, *pose.apply(np.array([ahead, 0.0, 0.0]))[:2]) <= 5, "seen road is free"
    for ahead in np.arange(5.0, 7.9, 0.2):
        assert _at(result, *pose.apply(np.array([ahead, 0.0, 0.0]))[:2]) == -1, "behind the box all is unknown"
    rows, cols = np.nonzero(result.costmap == 100)
    lethal = np.stack([cols + 0.5, rows + 0.5], axis=1) * result.bounds.resolution + result.bounds.origin
    distance = np.hypot(*(lethal - centre[:2]).T)
    # A bearing that grazes a corner within half a pixel may hit it late and mark cells a little behind.
    assert len(lethal) > 5 and np.quantile(distance, 0.9) < 0.9, "lethal cells lie on the box"
    ahead = local.apply(np.column_stack([lethal, np.zeros(len(lethal))]))[:, 0]
    assert ahead.min() > 3.4, "nothing in front of the box is lethal"


def test_cells_that_were_never_seen_are_unknown(matrix: CostMatrix) -> None:
    result = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(_frame(Transform.identity(), None))
    rows, cols = np.nonzero(result.costmap >= 0)
    x = (cols + 0.5) * result.bounds.resolution + result.bounds.origin[0]
    y = (rows + 0.5) * result.bounds.resolution + result.bounds.origin[1]
    bearing = np.abs(np.arctan2(y, x))
    assert x.min() > 0.5 and bearing.max() < np.arctan(0.5 / 0.75) + 0.1, "only the camera's own sector is known"
    assert set(result.timings_ms) == set(STAGES)


def test_evidence_out_of_view_is_kept_only_when_poses_are_known(matrix: CostMatrix) -> None:
    here, turned = Transform.identity(), Transform.from_xyz_rpy(0, 0, 0, 0, 0, np.pi)
    for remember in (True, False):
        pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS, remember=remember)
        pipeline.process(_frame(here, None))
        later = pipeline.process(_frame(turned, None, stamp_ns=11 * 10**8))
        assert (_at(later, 3.0, 0.0) >= 0) == remember


def test_a_new_matrix_applies_to_evidence_from_before(matrix: CostMatrix, tmp_path: Path) -> None:
    pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
    free = pipeline.process(_frame(Transform.identity(), None))
    (tmp_path / "expensive.yaml").write_text(MATRIX.replace("Road: 0", "Road: 500"), encoding="utf-8")
    pipeline.reconfigure(CostMatrix.load(tmp_path / "expensive.yaml", CLASSES), SETTINGS)
    turned = Transform.from_xyz_rpy(0, 0, 0, 0, 0, np.pi)
    expensive = pipeline.process(_frame(turned, None, stamp_ns=11 * 10**8))
    assert 0 <= _at(free, 3.0, 0.0) <= 5 and _at(expensive, 3.0, 0.0) == 100, (
        "seen as road before, with the cost of road now"
    )


def test_ranges_may_change_under_the_same_engine_but_not_the_number_of_samples(matrix: CostMatrix) -> None:
    pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
    far = pipeline.process(_frame(Transform.identity(), None))
    shorter = replace(SETTINGS, ground=replace(SETTINGS.ground, max_range=4.0))
    pipeline.reconfigure(matrix, shorter)
    pipeline.reset()
    near = pipeline.process(_frame(Transform.identity(), None))
    assert _at(far, 6.0, 0.0) >= 0 and _at(near, 6.0, 0.0) == -1 and _at(near, 3.0, 0.0) >= 0
    with pytest.raises(ConfigError, match="max_samples is 500"):
        pipeline.reconfigure(matrix, replace(SETTINGS, ground=replace(SETTINGS.ground, max_samples=500)))
    with pytest.raises(ConfigError, match="80 x 160 cells"):
        pipeline.reconfigure(matrix, replace(SETTINGS, grid=replace(SETTINGS.grid, height=8.0)))


def test_the_field_of_view_includes_known_and_hidden_cells(matrix: CostMatrix) -> None:
    pose = Transform.from_xyz_rpy(1.23, -4.56, 0.0, 0.0, 0.0, 0.7)
    centre = pose.apply(np.array([4.0, 0.0, 0.0]))
    box = (centre[0] - 0.3, centre[0] + 0.3, centre[1] - 0.3, centre[1] + 0.3)
    result = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(_frame(pose, box))
    view = field_of_view(result, SETTINGS)
    assert view[result.costmap >= 0].all() and view.sum() > (result.costmap >= 0).sum()
    hidden = np.floor((pose.apply(np.array([6.0, 0.0, 0.0]))[:2] - result.bounds.origin) / 0.1).astype(int)
    assert view[hidden[1], hidden[0]] and result.costmap[hidden[1], hidden[0]] == -1
    assert not view[80, 80], "the robot's own position is out of view"


def test_a_larger_rgb_image_gives_the_same_map(matrix: CostMatrix) -> None:
    frame = _frame(Transform.identity(), (3.0, 3.5, -0.3, 0.3))
    doubled = frame.image.repeat(2, axis=0).repeat(2, axis=1)[:, :, ::-1]
    big = Frame(frame.stamp_ns, doubled, "rgb", _camera(640, 480), frame.odom_from_base, EXTRINSICS, "camera")
    maps = [Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(each).costmap for each in (frame, big)]
    assert np.mean(maps[0] != maps[1]) < 0.002


def test_a_camera_that_sees_no_ground_is_refused_and_leaves_the_grid_unchanged(matrix: CostMatrix) -> None:
    pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
    before = pipeline.process(_frame(Transform.identity(), None))
    frame = _frame(Transform.identity(), None, stamp_ns=2 * 10**9)
    upwards = mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, -1.2, 0.0)
    evidence = pipeline.grid.evidence.copy()
    with pytest.raises(GeometryError, match="no ground"):
        pipeline.process(
            Frame(frame.stamp_ns, frame.image, "bgr", frame.camera, frame.odom_from_base, upwards, "camera")
        )
    assert np.array_equal(pipeline.grid.evidence, evidence) and before.costmap.shape == (160, 160)


def test_the_shipped_settings_file_lists_every_setting_with_its_default() -> None:
    path = Path(__file__).parents[3] / "config" / "pipeline.yaml"
    assert load_settings(path) == PipelineSettings()
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {name: list(section) for name, section in listed.items()} == {
        name: list(settings) for name, (_, settings) in declared_sections(PipelineSettings).items()
    }
    car = load_settings(path.with_name("pipeline_car.yaml"))
    assert car.ground.resolution == car.grid.resolution == 0.2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("grid: {resolutoin: 0.1}", "did you mean 'resolution'"),
        ("grid: {half_life: 0}", "pipeline.yaml: grid.half_life is 0"),
        ("ground: {max_samples: 1.5}", "must be a whole number"),
        ("grid: {half_lives: {Car: -1}}", "pipeline.yaml: grid.half_lives.Car is -1"),
        ("grid: {half_lives: {Car: soon}}", "key 'grid.half_lives.Car': must be a number"),
        ("grid: {half_lives: [Car]}", "must be a mapping"),
        ("grid: {clearing: 1.5}", "pipeline.yaml: grid.clearing is 1.5, but must lie within 0 to 1."),
        ("grid: {max_entropy: 1.5}", "pipeline.yaml: grid.max_entropy is 1.5, but must lie within 0.01 to 1."),
        ("grid: {max_entropy: 0}", "pipeline.yaml: grid.max_entropy is 0"),
        ("grid: {full_exposure: 2}", "pipeline.yaml: grid.full_exposure is 2.0, but must lie within 0 to 1."),
        ("grid: {full_sharpness: -1}", "pipeline.yaml: grid.full_sharpness is -1"),
        ("gird: {}", "did you mean 'grid'"),
        ("projection: {mode: lidar}", "pipeline.yaml: projection.mode is 'lidar'; use one of auto, points"),
        ("projection: {max_slope: 1.2}", "max_slope is 1.2, but must lie within 0.01 to 0.78 rad."),
        ("projection: {robot_height: 0.05}", "more than max_step"),
    ],
)
def test_mistakes_in_settings_name_file_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence):
        load_settings(path)


def test_half_lives_of_single_classes_come_from_the_file_and_must_fit_the_model(
    tmp_path: Path, matrix: CostMatrix
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "grid: {width: 16, height: 16, half_lives: {Box: 0.5}}\nground: {max_samples: 20000}\n", encoding="utf-8"
    )
    settings = load_settings(path)
    assert settings.grid.half_lives == (("Box", 0.5),)
    pipelines = [
        Pipeline(label_image_engine(each), matrix, each)
        for each in (settings, replace(settings, grid=replace(settings.grid, half_lives=())))
    ]
    away = Transform.from_xyz_rpy(0, 0, 0, 0, 0, np.pi)
    known = []
    for pipeline in pipelines:
        pipeline.process(_frame(Transform.identity(), (3.0, 3.5, -0.3, 0.3)))
        later = pipeline.process(_frame(away, None, stamp_ns=25 * 10**8))
        known.append([_at(later, 2.0, 0.0), _at(later, 3.2, 0.0)])
    assert known[0][0] == known[1][0] >= 0 and known[0][1] == -1 and known[1][1] == 100, "only the box has decayed"
    with pytest.raises(ConfigError, match=r"'box' is no class of the model \(did you mean 'Box'"):
        pipelines[0].reconfigure(matrix, replace(settings, grid=replace(settings.grid, half_lives=(("box", 0.5),))))


def test_a_restored_pipeline_continues_as_the_saved_one(matrix: CostMatrix) -> None:
    settings = replace(SETTINGS, grid=replace(SETTINGS.grid, half_lives=(("Box", 0.5),)))
    box = (3.0, 3.5, -0.3, 0.3)
    one, other = (Pipeline(label_image_engine(settings), matrix, settings) for _ in range(2))
    one.process(_frame(Transform.identity(), box))
    other.restore(one.grid.to_arrays())
    frames = [_frame(Transform.from_xyz_rpy(0.1 * k, 0, 0, 0, 0, 0), box, 10**9 + k * 10**8) for k in (1, 2, 3)]
    for frame in frames:
        assert one.process(frame).costmap.tobytes() == other.process(frame).costmap.tobytes()
    assert one.grid.evidence.tobytes() == other.grid.evidence.tobytes()


@pytest.mark.slow
def test_an_obstacle_that_has_gone_is_cleared_only_where_ground_is_visible(matrix: CostMatrix) -> None:
    far, near = (4.0, 4.3, -0.3, 0.3), (2.0, 2.3, -0.6, 0.6)

    def costs(clearing: float, then: tuple[float, float, float, float] | None) -> list[int]:
        settings = replace(SETTINGS, grid=replace(SETTINGS.grid, clearing=clearing))
        pipeline, here = Pipeline(label_image_engine(settings), matrix, settings), Transform.identity()
        boxes = [far] * 10 + [then] * 8
        results = [pipeline.process(_frame(here, box, 10**9 + k * 10**8)) for k, box in enumerate(boxes)]
        return [_at(result, 4.15, 0.0) for result in results[9:]]

    gone, hidden = costs(0.6, None), costs(0.6, near)
    assert gone[0] == 100 and max(gone[-3:]) < 10, "ground is visible there again"
    assert set(hidden) == {100}, "a box in front hides it"
    assert set(costs(0.0, None)) == {100}, "time alone takes longer"


def test_an_image_of_low_quality_has_little_weight_and_a_covered_lens_none(matrix: CostMatrix) -> None:
    frame = _frame(Transform.identity(), (3.0, 3.5, -0.3, 0.3))  # the image is nearly black and nearly uniform
    plain = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
    plain.process(frame)
    full = 4 * sharpness(frame.image)
    dull = Pipeline(label_image_engine(SETTINGS), matrix, _with_grid(full_sharpness=full))
    dull.process(frame)
    np.testing.assert_allclose(dull.grid.evidence, plain.grid.evidence / 4, rtol=1e-5)
    covered = Pipeline(label_image_engine(SETTINGS), matrix, _with_grid(full_exposure=0.5)).process(frame)
    assert (covered.costmap == -1).all()


def _with_grid(**changes: float) -> PipelineSettings:
    return replace(SETTINGS, grid=replace(SETTINGS.grid, **changes))
