"""Declared settings: one declaration for dataclass, YAML, ROS parameters, shipped files and tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seg_perception.errors import ConfigError
from seg_perception.ros.parameters.conversion import read_node_settings
from seg_perception.ros.parameters.table import PARAMETERS
from seg_perception.settings.field import (
    Setting,
    check_settings,
    declared_sections,
    declared_settings,
    setting,
)
from seg_perception.settings.pipeline import PipelineSettings, load_settings
from seg_perception.settings.yaml_listing import pipeline_yaml

CONFIG = Path(__file__).parents[3] / "config"
DECLARED = {
    (section, name): entry
    for section, (_, settings) in declared_sections(PipelineSettings).items()
    for name, entry in settings.items()
}
NUMBERS = [key for key, entry in DECLARED.items() if entry.kind in ("integer", "number")]


@dataclass(frozen=True)
class Example:
    """Settings with one field of each kind, and one that is no setting."""

    derived: str = "x"
    word: str = setting("a", "A word.", choices=("a", "b"))
    count: int = setting(2, "A count.", minimum=1, maximum=3)
    length: float = setting(0.5, "A length.", unit="m", minimum=0.1, maximum=2.0)
    words: tuple[str, ...] = setting((), "Some words.")
    numbers: tuple[float, ...] = setting((), "Some numbers.", kind="numbers")
    times: tuple[tuple[str, float], ...] = setting(
        (), "Times.", kind="numbers by name", unit="s", minimum=1.0, maximum=9.0
    )


def test_a_dataclass_lists_the_settings_that_it_declares() -> None:
    declared = declared_settings(Example)
    assert list(declared) == ["word", "count", "length", "words", "numbers", "times"]
    assert [entry.kind for entry in declared.values()] == [
        "text", "integer", "number", "texts", "numbers", "numbers by name",
    ]  # fmt: skip
    assert declared["length"] == Setting(0.5, "A length.", unit="m", minimum=0.1, maximum=2.0)
    assert [entry.limits() for entry in declared.values()] == ["a, b", "1 to 3", "0.1 to 2", "", "", "1 to 9"]
    assert all(getattr(Example(), name) == entry.default for name, entry in declared.items())


def test_right_values_come_out_in_their_type() -> None:
    declared = declared_settings(Example)
    assert declared["length"].checked(1, "length") == 1.0
    assert isinstance(declared["length"].checked(np.float32(1), "length"), float)
    assert declared["numbers"].checked([1, 2.5], "numbers") == (1.0, 2.5)
    assert declared["times"].checked((("Car", 2),), "times") == (("Car", 2.0),)
    check_settings(Example(word="b", count=3, length=2.0, times=(("Car", 9.0),)), "example")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"word": "c"}, "example.word is 'c'; use one of a, b."),
        ({"word": 1}, "example.word must be text, not 1."),
        ({"count": 4}, "example.count is 4, but must lie within 1 to 3."),
        ({"count": 1.5}, "example.count must be a whole number, not 1.5."),
        ({"length": 0.0}, "example.length is 0.0, but must lie within 0.1 to 2 m."),
        ({"length": math.nan}, "example.length must be a finite number, not nan."),
        ({"length": True}, "example.length must be a number, not True."),
        ({"words": "a"}, "example.words must be a list, not 'a'."),
        ({"numbers": ("a",)}, "example.numbers must be a number, not 'a'."),
        ({"times": (("Car", 0.5),)}, "example.times.Car is 0.5, but must lie within 1 to 9 s."),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_settings(Example(**changes), "example")
    assert str(caught.value) == sentence


def test_every_field_of_the_pipeline_settings_is_declared_with_text_unit_and_limits() -> None:
    for section in fields(PipelineSettings):
        settings = section.metadata["settings"]
        derived = {"resolution"} if section.name == "ground" else set()
        assert {field.name for field in fields(settings)} - declared_settings(settings).keys() == derived
    for key, entry in DECLARED.items():
        assert entry.text.endswith(".") and "|" not in entry.text, key
        assert entry.limits(), f"{key} allows anything"
        assert not entry.text.endswith(f", {entry.unit}."), f"{key}: the unit is declared, not written"


@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize("key", NUMBERS, ids=".".join)
def test_a_number_outside_its_limits_gets_the_same_sentence_from_yaml_and_from_ros(
    tmp_path: Path, key: tuple[str, str], side: str
) -> None:
    (section, name), entry = key, DECLARED[key]
    value = entry.minimum - 1 if side == "below" else entry.maximum + 1
    value = int(value) if entry.kind == "integer" else float(value)
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump({section: {name: value}}), encoding="utf-8")
    with pytest.raises(ConfigError) as from_file:
        load_settings(file)
    with pytest.raises(ConfigError) as from_ros:
        read_node_settings({f"{section}.{name}": value})
    unit = f" {entry.unit}" if entry.unit else ""
    sentence = f"is {value}, but must lie within {entry.limits()}{unit}."
    assert str(from_file.value) == f"{file}: {section}.{name} {sentence}"
    assert str(from_ros.value) == f"parameter '{section}.{name}' {sentence}"


@pytest.mark.parametrize("key", NUMBERS, ids=".".join)
def test_both_limits_are_accepted_by_the_parameter(key: tuple[str, str]) -> None:
    parameter = PARAMETERS[".".join(key)]
    for value in (parameter.setting.minimum, parameter.setting.maximum):
        kind = int if parameter.ros_type == "integer" else float
        assert parameter.checked(kind(value)) == value


def test_defaults_of_the_dataclass_the_parameters_and_the_shipped_file_are_the_declared_ones() -> None:
    shipped = yaml.safe_load((CONFIG / "pipeline.yaml").read_text(encoding="utf-8"))
    assert shipped == yaml.safe_load(pipeline_yaml(PipelineSettings))
    for (section, name), entry in DECLARED.items():
        assert getattr(getattr(PipelineSettings(), section), name) == entry.default
        assert PARAMETERS[f"{section}.{name}"].default == entry.default
        listed = shipped[section][name]
        assert (tuple(listed.items()) if isinstance(listed, dict) else listed) == entry.default
        assert PARAMETERS[f"{section}.{name}"].setting.changeable is entry.changeable
    assert load_settings(CONFIG / "pipeline.yaml") == PipelineSettings()


ABSURD = (1e308, -1e308, 1e-320, -1e-320, 1e18, 2**63, 10**400)


@pytest.mark.parametrize("key", NUMBERS, ids=".".join)
@pytest.mark.filterwarnings("error")
def test_absurd_numbers_are_refused_from_yaml_and_from_python_alike(tmp_path: Path, key: tuple[str, str]) -> None:
    (section, name), entry = key, DECLARED[key]
    file = tmp_path / "pipeline.yaml"
    for value in ABSURD:
        if entry.kind != "integer" and entry.minimum <= 0 and abs(value) < 1e-300:
            continue  # as good as the 0 that is allowed
        number = int(value) if entry.kind == "integer" and abs(value) > 1 else value
        file.write_text(yaml.safe_dump({section: {name: number}}), encoding="utf-8")
        with pytest.raises(ConfigError) as from_python:
            PipelineSettings.from_values({section: {name: number}})
        with pytest.raises(ConfigError) as from_file:
            load_settings(file)
        for error in (from_python, from_file):
            assert f"{section}.{name}" in str(error.value) and len(str(error.value)) < 600
