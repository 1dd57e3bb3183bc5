"""Cost matrices: the meaning of a file, the message for every mistake, and the shipped files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.small_matrix import CLASSES, VALID, load_matrix

from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import read_changes

PAGE = Path(__file__).parents[3] / "docs" / "how_to" / "cost_matrix.md"


def test_rows_and_columns_follow_the_model_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    matrix = load_matrix(tmp_path, VALID)
    assert matrix.classes == CLASSES
    expected = [
        # true class: Sky, Road, Person, Wall
        [0, 1, 1, 2.5],  # decide Sky
        [1, 0, 19, 3],  # decide Road
        [1, 1, 0, 1],  # decide Person
        [1, 1, 1, 0],  # decide Wall
    ]
    np.testing.assert_array_equal(matrix.misclassification, expected)
    np.testing.assert_array_equal(matrix.traverse, [254, 0, 5080, 1016])
    assert matrix.standing.tolist() == [False, False, True, True]
    assert not matrix.overhang.any()
    hanging = load_matrix(tmp_path, VALID + "overhang: {Wall: 0.25}\n")
    np.testing.assert_array_equal(hanging.overhang, [0, 0, 0, 0.25])
    assert matrix.ignore.tolist() == [True, False, False, False]
    assert (matrix.alpha, matrix.lethal_at) == (0.25, 200.0)
    assert matrix.path == tmp_path / "matrix.yaml"

    turned = load_matrix(tmp_path, VALID, CLASSES[::-1])
    np.testing.assert_array_equal(turned.misclassification, matrix.misclassification[::-1, ::-1])
    np.testing.assert_array_equal(turned.traverse, matrix.traverse[::-1])


def test_the_stacked_rows_hold_the_decisions_first_and_the_traversal_row_last(tmp_path: Path) -> None:
    matrix = load_matrix(tmp_path, VALID)
    rows = matrix.stacked_rows()
    assert rows.shape == (5, 4)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows[:4], matrix.misclassification)
    np.testing.assert_array_equal(rows[4], matrix.traverse)


def test_without_a_risk_section_the_risk_is_the_expected_cost_and_lethal_is_what_nav2_calls_lethal(
    tmp_path: Path,
) -> None:
    matrix = load_matrix(tmp_path, VALID.replace("risk: {alpha: 0.25, lethal_at: 200}", ""))
    assert (matrix.alpha, matrix.lethal_at) == (0.0, 254.0)
    matrix = load_matrix(tmp_path, VALID.replace("{alpha: 0.25, lethal_at: 200}", "{alpha: 0.25}"))
    assert (matrix.alpha, matrix.lethal_at) == (0.25, 254.0)


def test_a_cost_for_right_answers_is_accepted_if_correct_sets_it(tmp_path: Path) -> None:
    matrix = load_matrix(tmp_path, VALID.replace("correct: 0", "correct: 0.5"))
    np.testing.assert_array_equal(np.diag(matrix.misclassification), 0.5)
    written_out = VALID.replace("correct: 0", "correct: 0.1").replace("Road: {Person", "Road: {Road: 0.1, Person")
    np.testing.assert_array_equal(np.diag(load_matrix(tmp_path, written_out).misclassification), np.float32(0.1))
    written_out = VALID.replace("Road: {Person", "Road: {Road: 0, Person")
    np.testing.assert_array_equal(
        load_matrix(tmp_path, written_out).misclassification, load_matrix(tmp_path, VALID).misclassification
    )


def test_a_loaded_matrix_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    matrix = load_matrix(tmp_path, VALID)
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
    "unknown true class": (
        ("{Wall: 2.5}", "{Fence: 2.5}"),
        "key 'misclassification.Sky.Fence': 'Fence' is no class of the model; it has Sky, Road, Person, Wall.",
    ),
    "unknown obstacle class": (
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
    "cost beyond the range": (
        ("Wall: 1016", "Wall: 1e6"),
        "key 'traverse.Wall': is 1000000.0, but must lie within 0 to 100000.",
    ),
    "cost too small to be computed with": (
        ("Wall: 3", "Wall: 1e-31"),
        "key 'misclassification.Road.Wall': is 1e-31, too small to be computed with; give 0, or 1e-06 to 100000.",
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
    "right answers more expensive than wrong ones": (
        ("correct: 0", "correct: 2"),
        "key 'misclassification.correct': is 2, more than a wrong answer at 1; make right answers the cheapest.",
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
    "overhang of a class that is not in standing": (
        ("ignore: [Sky]", "ignore: [Sky]\noverhang: {Road: 0.3}"),
        "key 'overhang.Road': is not in 'standing', so it has no overhang; add it to 'standing' or remove it here.",
    ),
    "class both standing and ignored": (
        ("ignore: [Sky]", "ignore: [Sky, Wall]"),
        "key 'ignore': lists 'Wall', which 'standing' lists too; remove it from one of the two.",
    ),
    "everything ignored": (
        ("standing: [Wall, Person]\nignore: [Sky]", "standing: []\nignore: [Sky, Road, Person, Wall]"),
        "key 'ignore': lists every class, so that nothing could ever be known; remove some.",
    ),
    "no obstacle classes": (
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
        "line 4, column 22: key 'Person' is given twice; correct the YAML there.",
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
def test_every_mistake_is_one_sentence_with_file_key_and_fix(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    assert change[0] in VALID
    with pytest.raises(ConfigError) as caught:
        load_matrix(tmp_path, VALID.replace(*change))
    message = str(caught.value)
    file = str(tmp_path / "matrix.yaml")
    assert message.startswith(file)
    assert message[len(file) :].lstrip(",: ") == sentence
    assert "\n" not in message


def test_every_mistake_is_listed_in_the_documentation() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert not [name for name, (_, sentence) in MISTAKES.items() if sentence.split(": ", 1)[-1] not in page]


def test_the_example_in_the_documentation_is_the_file_tested_here() -> None:
    assert f"```yaml\n{VALID}```" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["default: 1", "correct: 0", "Wall: 1016", "Person: 19"])
def test_costs_below_the_smallest_are_refused_everywhere(tmp_path: Path, place: str) -> None:
    key = place.split(": ")[0]
    assert load_matrix(tmp_path, VALID.replace("correct: 0", "correct: 1e-6"))
    with pytest.raises(
        ConfigError, match=rf"{key}': is 9e-07, too small to be computed with; give 0, or 1e-06 to 100000"
    ):
        load_matrix(tmp_path, VALID.replace(place, f"{key}: 9e-7"))


def test_a_changed_cost_has_the_same_limits(tmp_path: Path) -> None:
    matrix = load_matrix(tmp_path, VALID)
    assert matrix.changed(read_changes(["traverse.Road: 0.000001"], "costs")).traverse[1] == np.float32(1e-6)
    for entry in (
        "traverse.Road: 1e-31",
        "misclassification.Road.Person: 1e-7",
        "misclassification.Road.Person: 5e-324",
    ):
        with pytest.raises(ConfigError, match="too small to be computed with"):
            matrix.changed(read_changes([entry], "costs"))
