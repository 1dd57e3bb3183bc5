"""One resolution: the ground is sampled at that of the grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from seg_perception.errors import ConfigError
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings, load_settings


def load(folder: Path, text: str) -> PipelineSettings:
    file = folder / "pipeline.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def test_the_ground_takes_the_resolution_of_the_grid() -> None:
    settings = PipelineSettings(GroundSettings(max_range=25.0), GridSettings(resolution=0.2))
    assert settings.ground == GroundSettings(max_range=25.0, resolution=0.2)
    assert PipelineSettings().ground.resolution == PipelineSettings().grid.resolution == GridSettings().resolution


def test_a_file_that_still_gives_both_is_read_where_they_are_equal(tmp_path: Path) -> None:
    both = load(tmp_path, "ground: {resolution: 0.2, max_range: 25}\ngrid: {resolution: 0.2}\n")
    assert both == load(tmp_path, "ground: {max_range: 25}\ngrid: {resolution: 0.2}\n")
    assert both.ground.resolution == 0.2
    assert load(tmp_path, "ground: {resolution: 0.1}\n") == PipelineSettings()


@pytest.mark.parametrize(
    "text", ["ground: {resolution: 0.2}\n", "ground: {resolution: 0.2}\ngrid: {resolution: 0.1}\n"]
)
def test_two_resolutions_are_refused_with_the_one_to_give(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == (
        f"{tmp_path / 'pipeline.yaml'}: ground.resolution is 0.2, but grid.resolution is 0.1 m and holds for both; "
        "give grid.resolution alone."
    )


def test_samples_are_counted_at_the_resolution_of_the_grid(tmp_path: Path) -> None:
    text = "ground: {max_range: 10.4, max_samples: 150}\ngrid: {resolution: %s}\n"
    assert load(tmp_path, text % 0.2).ground.bearing_count == 3
    with pytest.raises(ConfigError, match=r"ground\.max_samples is 150; give at least 200, for two bearings"):
        load(tmp_path, text % 0.1)


def test_an_unknown_key_of_the_ground_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"key 'ground\.resolutions': is not a known key"):
        load(tmp_path, "ground: {resolutions: 0.1}\n")
