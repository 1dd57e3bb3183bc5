"""Cost matrices: what a file means, that every mistake in one is a sentence, and that the shipped ones are usable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import CostMatrix, read_changes
from seg_perception.risk.measures import bayes_decision, cvar
from seg_perception.settings.yaml_file import Section

CLASSES = ("Sky", "Road", "Person", "Wall")

VALID = """\
misclassification:
  default: 1
  correct: 0
  Road: {Person: 19, Wall: 3}
  Sky: {Wall: 2.5}
traverse: {Wall: 1016, Person: 5080, Road: 0, Sky: 254}
standing: [Wall, Person]
ignore: [Sky]
risk: {alpha: 0.25, lethal_at: 200}
"""

PAGE = Path(__file__).parents[3] / "docs" / "how_to" / "cost_matrix.md"
SHIPPED = sorted((Path(__file__).parents[3] / "config" / "cost_matrices").glob("*.yaml"))
SHIPPED_CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
    "Grass",
)


def load(folder: Path, text: str, classes: tuple[str, ...] = CLASSES) -> CostMatrix:
    file = folder / "matrix.yaml"
    file.write_text(text)
    return CostMatrix.load(file, classes)


def test_rows_and_columns_follow_the_model_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    matrix = load(tmp_path, VALID)
    assert matrix.classes == CLASSES
    expected = [
        # truth: Sky, Road, Person, Wall
        [0, 1, 1, 2.5],  # decide Sky
        [1, 0, 19, 3],  # decide Road
        [1, 1, 0, 1],  # decide Person
        [1, 1, 1, 0],  # decide Wall
    ]
    np.testing.assert_array_equal(matrix.misclassification, expected)
    np.testing.assert_array_equal(matrix.traverse, [254, 0, 5080, 1016])
    assert matrix.standing.tolist() == [False, False, True, True]
    assert not matrix.overhang.any()
    hanging = load(tmp_path, VALID + "overhang: {Wall: 0.25}\n")
    np.testing.assert_array_equal(hanging.overhang, [0, 0, 0, 0.25])
    assert matrix.ignore.tolist() == [True, False, False, False]
    assert (matrix.alpha, matrix.lethal_at) == (0.25, 200.0)
    assert matrix.path == tmp_path / "matrix.yaml"

    turned = load(tmp_path, VALID, CLASSES[::-1])
    np.testing.assert_array_equal(turned.misclassification, matrix.misclassification[::-1, ::-1])
    np.testing.assert_array_equal(turned.traverse, matrix.traverse[::-1])


def test_the_engine_gets_the_decisions_first_and_the_traversal_row_last(tmp_path: Path) -> None:
    matrix = load(tmp_path, VALID)
    rows = matrix.stacked_rows()
    assert rows.shape == (5, 4)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows[:4], matrix.misclassification)
    np.testing.assert_array_equal(rows[4], matrix.traverse)


def test_without_a_risk_section_the_risk_is_the_expected_cost_and_lethal_is_what_nav2_calls_lethal(
    tmp_path: Path,
) -> None:
    matrix = load(tmp_path, VALID.replace("risk: {alpha: 0.25, lethal_at: 200}", ""))
    assert (matrix.alpha, matrix.lethal_at) == (0.0, 254.0)
    matrix = load(tmp_path, VALID.replace("{alpha: 0.25, lethal_at: 200}", "{alpha: 0.25}"))
    assert (matrix.alpha, matrix.lethal_at) == (0.25, 254.0)


def test_a_cost_for_right_answers_is_accepted_when_it_is_said(tmp_path: Path) -> None:
    matrix = load(tmp_path, VALID.replace("correct: 0", "correct: 0.5"))
    np.testing.assert_array_equal(np.diag(matrix.misclassification), 0.5)
    written_out = VALID.replace("correct: 0", "correct: 0.1").replace("Road: {Person", "Road: {Road: 0.1, Person")
    np.testing.assert_array_equal(np.diag(load(tmp_path, written_out).misclassification), np.float32(0.1))
    written_out = VALID.replace("Road: {Person", "Road: {Road: 0, Person")
    np.testing.assert_array_equal(
        load(tmp_path, written_out).misclassification, load(tmp_path, VALID).misclassification
    )


def test_a_loaded_matrix_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    matrix = load(tmp_path, VALID)
    for array in (matrix.misclassification, matrix.traverse, matrix.standing, matrix.ignore):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


MISTAKES = {
    "unknown class in a traversal row": (
        ("Road: 0, Sky", "Raod: 0, Sky"),
        "key 'traverse.Raod': 'Raod' is no class of the model (did you mean 'Road'?); it has Sky, Road, Person, Wall.",
    ),
    "unknown decision": (
        ("  Road: {", "  road: {"),
        "key 'misclassification.road': 'road' is no class of the model (did you mean 'Road'?); "
        "it has Sky, Road, Person, Wall.",
    ),
    "unknown truth": (
        ("{Wall: 2.5}", "{Fence: 2.5}"),
        "key 'misclassification.Sky.Fence': 'Fence' is no class of the model; it has Sky, Road, Person, Wall.",
    ),
    "unknown standing class": (
        ("standing: [Wall, Person]", "standing: [Wall, Persons]"),
        "key 'standing[1]': 'Persons' is no class of the model (did you mean 'Person'?); "
        "it has Sky, Road, Person, Wall.",
    ),
    "class that is no text": (
        ("Road: 0, Sky", "1: 0, Sky"),
        "key 'traverse.1': '1' is no class of the model; it has Sky, Road, Person, Wall.",
    ),
    "missing traversal costs": (
        ("Wall: 1016, Person: 5080, ", ""),
        "key 'traverse': has no cost for Person, Wall; add a cost for every class of the model.",
    ),
    "negative misclassification cost": (
        ("Person: 19", "Person: -19"),
        "key 'misclassification.Road.Person': is -19, but must lie within 0 to 100000.",
    ),
    "negative traversal cost": (
        ("Wall: 1016", "Wall: -1"),
        "key 'traverse.Wall': is -1, but must lie within 0 to 100000.",
    ),
    "cost beyond all measure": (
        ("Wall: 1016", "Wall: 1e6"),
        "key 'traverse.Wall': is 1000000.0, but must lie within 0 to 100000.",
    ),
    "infinite cost": (
        ("Wall: 1016", "Wall: .inf"),
        "key 'traverse.Wall': must be a finite number, not inf.",
    ),
    "cost that is not a number": (
        ("Wall: 3", "Wall: .nan"),
        "key 'misclassification.Road.Wall': must be a finite number, not nan.",
    ),
    "cost given as text": (
        ("Wall: 3", "Wall: high"),
        "key 'misclassification.Road.Wall': must be a number, not the text 'high'.",
    ),
    "cost left empty": (
        ("Wall: 1016", "Wall: "),
        "key 'traverse.Wall': must be a number, not nothing.",
    ),
    "negative default": (
        ("default: 1", "default: -1"),
        "key 'misclassification.default': is -1, but must lie within 0 to 100000.",
    ),
    "no default": (
        ("  default: 1\n", ""),
        "key 'misclassification.default': is missing; add it.",
    ),
    "no cost for right answers": (
        ("  correct: 0\n", ""),
        "key 'misclassification.correct': is missing; add it.",
    ),
    "a right answer that costs without saying so": (
        ("Road: {Person", "Road: {Road: 2, Person"),
        "key 'misclassification.Road.Road': is the cost of a right answer, which 'misclassification.correct' sets to "
        "0; remove this entry or change 'correct'.",
    ),
    "right answers dearer than wrong ones": (
        ("correct: 0", "correct: 2"),
        "key 'misclassification.correct': is 2, dearer than a wrong answer at 1; make right answers the cheapest.",
    ),
    "row that is no mapping": (
        ("Road: {Person: 19, Wall: 3}", "Road: [19, 3]"),
        "key 'misclassification.Road': must be a mapping (key: value), not a list.",
    ),
    "traversal costs that are no mapping": (
        ("traverse: {Wall: 1016, Person: 5080, Road: 0, Sky: 254}", "traverse: 254"),
        "key 'traverse': must be a mapping (key: value), not the number 254.",
    ),
    "list that is no list": (
        ("ignore: [Sky]", "ignore: Sky"),
        "key 'ignore': must be a list, not the text 'Sky'.",
    ),
    "class listed twice": (
        ("[Wall, Person]", "[Wall, Wall]"),
        "key 'standing[1]': 'Wall' is listed twice; keep one of the two.",
    ),
    "overhang of what does not stand": (
        ("ignore: [Sky]", "ignore: [Sky]\noverhang: {Road: 0.3}"),
        "key 'overhang.Road': does not stand, so it cannot hang; add it to 'standing' or remove it here.",
    ),
    "class both standing and ignored": (
        ("ignore: [Sky]", "ignore: [Sky, Wall]"),
        "key 'ignore': lists 'Wall', which 'standing' lists too; remove it from one of the two.",
    ),
    "everything ignored": (
        ("standing: [Wall, Person]\nignore: [Sky]", "standing: []\nignore: [Sky, Road, Person, Wall]"),
        "key 'ignore': lists every class, so that nothing could ever be known; remove some.",
    ),
    "no standing classes": (
        ("standing: [Wall, Person]\n", ""),
        "key 'standing': is missing; add it.",
    ),
    "alpha of one": (
        ("alpha: 0.25", "alpha: 1"),
        "key 'risk.alpha': is 1, but must be at least 0 (the expected cost) and below 1 (the worst case).",
    ),
    "negative alpha": (
        ("alpha: 0.25", "alpha: -0.5"),
        "key 'risk.alpha': is -0.5, but must be at least 0 (the expected cost) and below 1 (the worst case).",
    ),
    "alpha that is a truth value": (
        ("alpha: 0.25", "alpha: yes"),
        "key 'risk.alpha': must be a number, not the truth value true.",
    ),
    "lethal beyond nav2's lethal": (
        ("lethal_at: 200", "lethal_at: 300"),
        "key 'risk.lethal_at': is 300, but must lie within 1 to 254.",
    ),
    "misspelt key in risk": (
        ("lethal_at", "lethal"),
        "key 'risk.lethal': is not a known key (did you mean 'lethal_at'?); known here: alpha, lethal_at.",
    ),
    "unknown key": (
        ("standing: [", "walls: []\nstanding: ["),
        "key 'walls': is not a known key; known here: ignore, misclassification, overhang, risk, speed, standing, "
        "traverse.",
    ),
    "key given twice": (
        ("Person: 19, Wall: 3}", "Person: 19, Person: 3}"),
        "line 4, column 22: key 'Person' is given twice and only one of them can stand; correct the YAML there.",
    ),
    "empty file": ((VALID, ""), "is empty; it must hold a YAML mapping."),
    "comments only": ((VALID, "# to do\n"), "is empty; it must hold a YAML mapping."),
    "a list": ((VALID, "- 1\n"), "must hold a mapping (key: value) at its top level, not a list."),
    "no YAML": (
        ("ignore: [Sky]", "ignore: [Sky"),
        "line 9, column 5: while parsing a flow sequence, expected ',' or ']', but got ':'; correct the YAML there.",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_every_mistake_is_one_sentence_with_file_key_and_mend(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    assert change[0] in VALID
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, VALID.replace(*change))
    message = str(caught.value)
    file = str(tmp_path / "matrix.yaml")
    assert message.startswith(file)
    assert message[len(file) :].lstrip(",: ") == sentence
    assert "\n" not in message


class TestChanges:
    """Single costs that replace those of the file."""

    def changed(self, folder: Path, *entries: str, text: str = VALID) -> CostMatrix:
        return load(folder, text).changed(read_changes(entries, "overrides"))

    def test_each_names_one_cost_and_leaves_the_others_and_the_original_alone(self, tmp_path: Path) -> None:
        matrix = load(tmp_path, VALID)
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
        np.testing.assert_array_equal(self.changed(tmp_path).stacked_rows(), load(tmp_path, VALID).stacked_rows())

    def test_class_names_may_hold_anything_but_a_dot(self, tmp_path: Path) -> None:
        classes = ("Road|Kerb", "my class: odd", "Wall")
        text = """\
misclassification: {default: 1, correct: 0}
traverse: {Road|Kerb: 0, "my class: odd": 10, Wall: 20}
standing: []
ignore: []
"""
        matrix = load(tmp_path, text, classes)
        changes = ["traverse.my class: odd: 11", "misclassification.Road|Kerb.my class: odd: 7"]
        changed = matrix.changed(read_changes(changes, "overrides"))
        np.testing.assert_array_equal(changed.traverse, [0, 11, 20])
        assert changed.misclassification[0, 1] == 7

    def test_risk_level_and_lethal_threshold_change_as_in_the_file(self, tmp_path: Path) -> None:
        matrix = load(tmp_path, VALID)
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
            load(tmp_path, VALID).changed(Section(Path("parameters"), "", {"standing": []}))

    @pytest.mark.parametrize(
        ("entry", "sentence"),
        [
            ("traverse.Wall 90", "overrides: 'traverse.Wall 90' is no cost; write it as 'traverse.CLASS: COST' or "
             "'misclassification.DECISION.TRUTH: COST'."),
            ("traverse: 90", "overrides: 'traverse: 90' is no cost; write it as"),
            ("traverse.: 90", "overrides: 'traverse.: 90' is no cost; write it as"),
            ("misclassification.default: 3", "overrides: 'misclassification.default: 3' is no cost; write it as"),
            ("misclassification.Road: 3", "overrides: 'misclassification.Road: 3' is no cost; write it as"),
            ("risk.alpha: 0.5", "overrides: 'risk.alpha: 0.5' is no cost; write it as"),
            ("", "overrides: '' is no cost; write it as"),
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
            "overrides, key 'misclassification.correct': is 0.5, dearer than a wrong answer at 0.2; "
            "make right answers the cheapest."
        )

    def test_a_cost_given_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"^overrides: 'traverse.Wall' is given twice and only one of them can"):
            self.changed(tmp_path, "traverse.Wall: 90", "traverse.Wall: 91")


def test_every_mistake_is_listed_in_the_documentation() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert not [name for name, (_, sentence) in MISTAKES.items() if sentence.split(": ", 1)[-1] not in page]


def test_the_example_in_the_documentation_is_the_file_tested_here() -> None:
    assert f"```yaml\n{VALID}```" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
class TestShippedMatrices:
    """What a user may expect of the three matrices without reading them."""

    @pytest.fixture
    def matrix(self, file: Path) -> CostMatrix:
        return CostMatrix.load(file, SHIPPED_CLASSES)

    @pytest.fixture
    def home(self, file: Path) -> str:
        """The ground this robot belongs on."""
        return "Pavement" if file.stem == "sidewalk_robot" else "Road"

    def posterior(self, home: str, **doubts: float) -> np.ndarray:
        """The home ground, but for some percent of other classes."""
        percent = {home: 100.0 - sum(doubts.values()), **doubts}
        return np.array([percent.get(name, 0.0) / 100.0 for name in SHIPPED_CLASSES])

    def risk(self, matrix: CostMatrix, posterior: np.ndarray) -> float:
        return float(cvar(posterior, matrix.traverse, matrix.alpha))

    def label(self, matrix: CostMatrix, posterior: np.ndarray) -> str:
        return SHIPPED_CLASSES[bayes_decision(posterior, matrix.misclassification)]

    def test_its_own_ground_is_free_and_hazards_are_lethal(self, matrix: CostMatrix, home: str) -> None:
        assert self.risk(matrix, self.posterior(home)) == 0.0
        for name, standing in zip(SHIPPED_CLASSES, matrix.standing, strict=True):
            if standing:
                assert matrix.traverse[SHIPPED_CLASSES.index(name)] > matrix.lethal_at

    def test_the_doubt_of_a_calibrated_network_leaves_plain_ground_cheap(self, matrix: CostMatrix, home: str) -> None:
        doubt = self.posterior(
            home, Car=0.4, Pedestrian=0.1, Bicyclist=0.1, Building=0.3, Fence=0.3, Tree=0.2, Grass=0.5
        )
        assert self.risk(matrix, doubt) < 80.0
        assert self.label(matrix, doubt) == home

    def test_ten_percent_of_a_pedestrian_is_lethal_and_takes_the_label(self, matrix: CostMatrix, home: str) -> None:
        doubt = self.posterior(home, Pedestrian=10.0)
        assert self.risk(matrix, doubt) >= matrix.lethal_at
        assert self.label(matrix, doubt) == "Pedestrian"

    def test_people_weigh_more_than_cars_and_cars_more_than_fixed_things(self, matrix: CostMatrix, home: str) -> None:
        people, cars, fences = (
            self.risk(matrix, self.posterior(home, **{name: 1.0})) for name in ("Pedestrian", "Car", "Fence")
        )
        assert people > cars > fences > 0.0


def test_the_cautious_matrix_is_lethal_at_half_the_probability_of_the_plain_one() -> None:
    plain, cautious = (
        CostMatrix.load(next(file for file in SHIPPED if file.stem == name), SHIPPED_CLASSES)
        for name in ("road_car", "cautious")
    )
    road, person = SHIPPED_CLASSES.index("Road"), SHIPPED_CLASSES.index("Pedestrian")
    for percent, lethal_to_plain, lethal_to_cautious in ((2.4, False, False), (2.6, False, True), (5.1, True, True)):
        posterior = np.zeros(12)
        posterior[[road, person]] = 1.0 - percent / 100.0, percent / 100.0
        assert (cvar(posterior, plain.traverse, plain.alpha) >= plain.lethal_at) == lethal_to_plain
        assert (cvar(posterior, cautious.traverse, cautious.alpha) >= cautious.lethal_at) == lethal_to_cautious


def test_three_matrices_are_shipped() -> None:
    assert [file.stem for file in SHIPPED] == ["cautious", "road_car", "sidewalk_robot"]
