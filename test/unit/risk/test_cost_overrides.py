"""Cost overrides: single costs that replace those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.small_matrix import VALID, load_matrix

from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import CostMatrix, read_changes
from seg_perception.settings.yaml_file import Section


class TestChanges:
    """Single costs that replace those of the file."""

    def changed(self, folder: Path, *entries: str, text: str = VALID) -> CostMatrix:
        return load_matrix(folder, text).changed(read_changes(entries, "overrides"))

    def test_each_names_one_cost_and_leaves_the_others_and_the_original_alone(self, tmp_path: Path) -> None:
        matrix = load_matrix(tmp_path, VALID)
        changed = matrix.changed(
            read_changes(
                ["traverse.Wall: 90", "misclassification.Road.Person:4e2", " traverse . Road : 5 "], "overrides"
            )
        )
        np.testing.assert_array_equal(changed.traverse, [254, 5, 5080, 90])
        np.testing.assert_array_equal(
            changed.misclassification, [[0, 1, 1, 2.5], [1, 0, 400, 3], [1, 1, 0, 1], [1, 1, 1, 0]]
        )
        assert (changed.alpha, changed.lethal_at, changed.path) == (0.25, 200.0, matrix.path)
        assert changed.standing is matrix.standing
        np.testing.assert_array_equal(matrix.traverse, [254, 0, 5080, 1016])
        assert matrix.misclassification[1, 2] == 19
        for array in (changed.misclassification, changed.traverse):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1

    def test_no_changes_change_nothing(self, tmp_path: Path) -> None:
        np.testing.assert_array_equal(
            self.changed(tmp_path).stacked_rows(), load_matrix(tmp_path, VALID).stacked_rows()
        )

    def test_class_names_may_hold_anything_but_a_dot(self, tmp_path: Path) -> None:
        classes = ("Road|Kerb", "my class: odd", "Wall")
        text = """\
misclassification: {default: 1, correct: 0}
traverse: {Road|Kerb: 0, "my class: odd": 10, Wall: 20}
standing: []
ignore: []
"""
        matrix = load_matrix(tmp_path, text, classes)
        changes = ["traverse.my class: odd: 11", "misclassification.Road|Kerb.my class: odd: 7"]
        changed = matrix.changed(read_changes(changes, "overrides"))
        np.testing.assert_array_equal(changed.traverse, [0, 11, 20])
        assert changed.misclassification[0, 1] == 7

    def test_risk_level_and_lethal_threshold_change_as_in_the_file(self, tmp_path: Path) -> None:
        matrix = load_matrix(tmp_path, VALID)
        changed = matrix.changed(Section(Path("parameters"), "", {"risk": {"alpha": 0}}))
        assert (changed.alpha, changed.lethal_at) == (0.0, 200.0)
        with pytest.raises(ConfigError) as caught:
            matrix.changed(Section(Path("parameters"), "", {"risk": {"alpha": 1}}))
        assert str(caught.value) == (
            "parameters, key 'risk.alpha': is 1, but must be at least 0 (the expected cost) and below 1 "
            "(the worst case)."
        )

    def test_what_a_change_cannot_change_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="key 'standing': is not a known key"):
            load_matrix(tmp_path, VALID).changed(Section(Path("parameters"), "", {"standing": []}))

    @pytest.mark.parametrize(
        ("entry", "sentence"),
        [
            ("traverse.Wall 90", "overrides: 'traverse.Wall 90' is not a cost; write it as 'traverse.CLASS: COST' or "
             "'misclassification.DECISION.TRUTH: COST'."),
            ("traverse: 90", "overrides: 'traverse: 90' is not a cost; write it as"),
            ("traverse.: 90", "overrides: 'traverse.: 90' is not a cost; write it as"),
            ("misclassification.default: 3", "overrides: 'misclassification.default: 3' is not a cost; write it as"),
            ("misclassification.Road: 3", "overrides: 'misclassification.Road: 3' is not a cost; write it as"),
            ("risk.alpha: 0.5", "overrides: 'risk.alpha: 0.5' is not a cost; write it as"),
            ("", "overrides: '' is not a cost; write it as"),
            ("traverse.Wal: 90", "overrides, key 'traverse.Wal': 'Wal' is no class of the model (did you mean 'Wall'?);"
             " it has Sky, Road, Person, Wall."),
            ("misclassification.default.Wall: 3", "overrides, key 'misclassification.default': 'default' is no class "
             "of the model; it has Sky, Road, Person, Wall."),
            ("misclassification.Road.Men: 3", "overrides, key 'misclassification.Road.Men': 'Men' is no class of the "
             "model; it has Sky, Road, Person, Wall."),
            ("traverse.Wall: -1", "overrides, key 'traverse.Wall': is -1.0, but must lie within 0 to 100000."),
            ("traverse.Wall: nan", "overrides, key 'traverse.Wall': must be a finite number, not nan."),
            ("traverse.Wall: high", "overrides, key 'traverse.Wall': must be a number, not the text 'high'."),
            ("traverse.Wall:", "overrides, key 'traverse.Wall': must be a number, not empty text."),
            ("misclassification.Road.Road: 2", "overrides, key 'misclassification.Road.Road': is the cost of a right "
             "answer, which 'misclassification.correct' sets to 0; remove this entry or change 'correct'."),
        ],
    )  # fmt: skip
    def test_a_mistake_is_refused_as_in_the_file(self, tmp_path: Path, entry: str, sentence: str) -> None:
        with pytest.raises(ConfigError) as caught:
            self.changed(tmp_path, entry)
        assert str(caught.value).startswith(sentence)
        assert str(caught.value).endswith(".")

    def test_a_wrong_answer_cannot_become_cheaper_than_a_right_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            self.changed(tmp_path, "misclassification.Road.Wall: 0.2", text=VALID.replace("correct: 0", "correct: 0.5"))
        assert str(caught.value) == (
            "overrides, key 'misclassification.correct': is 0.5, more than a wrong answer at 0.2; "
            "make right answers the cheapest."
        )

    def test_a_cost_given_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"^overrides: 'traverse.Wall' is given twice; keep one of"):
            self.changed(tmp_path, "traverse.Wall: 90", "traverse.Wall: 91")
