"""Strict YAML: every mistake becomes one sentence with file, location and fix."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import Section, load_yaml


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.yaml"


def parse(file: Path, text: str) -> Section:
    file.write_text(text, encoding="utf-8")
    return load_yaml(file)


def complaint(file: Path, error: pytest.ExceptionInfo[ConfigError]) -> str:
    """The message without the file name, which it must begin with, and without a line break, which it must not have."""
    message = str(error.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    return message[len(str(file)) :].lstrip(",: ")


UNREADABLE = {
    "duplicate key": ("a: 1\na: 2\n", "line 2, column 1: key 'a' is given twice; "),
    "nested duplicate": (
        "a: {b: 1, b: 2}",
        "line 1, column 11: key 'b' is given twice; ",
    ),
    "compound key": ("? [1, 2]\n: 3\n", "line 1, column 3: a key must be a plain word or number; "),
    "open bracket": ("a: [1, 2", "line 1, column 9: while parsing a flow sequence, expected ',' or ']', "),
    "tab": ("a:\n\tb: 1", "line 2, column 1: while scanning for the next token, found character '\\t' "),
    "two documents": ("a: 1\n---\nb: 2\n", "line 2, column 1: expected a single document in the stream, "),
    "unknown alias": ("a: *x", "line 1, column 4: found undefined alias 'x'; "),
    "python object": ("a: !!python/object:os.system {}", "line 1, column 4: could not determine a constructor for "),
    "mapping inside itself": ("a: &x {b: *x}", "line 1, column 4: found unconstructable recursive node; "),
    "impossible date": ("a: 2026-13-45", "line 1, column 4: '2026-13-45' is not a valid timestamp (put it in quotes "),
    "impossible number": (
        "a: !!int abc",
        "line 1, column 4: 'abc' is not a valid int (put it in quotes if it is text); ",
    ),
    "empty whole number": (
        'a: !!int ""',
        "line 1, column 4: '' is not a valid int (put it in quotes if it is text); ",
    ),
    "empty number": ('a: !!float ""', "line 1, column 4: '' is not a valid float (put it in quotes if it is text); "),
    "endless sexagesimal": (
        "a: 1" + ":59" * 400 + ".5",
        "line 1, column 4: '1:59:59:59:59:59:59:59:59:59:59:59:59...' is not a valid float ",
    ),
    "endless hexadecimal": (
        "a: 0x" + "f" * 5000,
        "line 1, column 4: '0xfffffffffffffffffffffffffffffffffff...' is not ",
    ),
    "endless decimal": ("a: " + "9" * 5000, "line 1, column 4: '9999999999999999999999999999999999999...' is not "),
    "mapping of a list": ("a: !!map [1]", "line 1, column 4: a list or mapping is not a valid map "),
    "impossible escape": ('a: "\\UFFFFFFFF"', "line 1, column 7: an impossible number or escape; "),
    "endless version": ("%YAML " + "1" * 5000 + ".1\n---\na: 1", "line 1, column 7: an impossible number or escape; "),
    "long tag": ("a: !" + "x" * 5000, "line 1, column 4: could not determine a constructor for the tag '!xxxx"),
    "merge of itself": ("a: &a {<<: *a}", "line 1, column 4: found unconstructable recursive node; "),
    "block nesting": ("".join(f"{' ' * n}a:\n" for n in range(60)), "line 50, column 50: more than 50 levels of nest"),
    "control character": ("a: \x00", "holds the control character #x00 at position 3; give a plain text file."),
    "bottomless nesting": ("[" * 5000, "line 1, column 51: more than 50 levels of nesting; "),
    "empty": ("", "is empty; it must hold a YAML mapping."),
    "only a comment": ("# nothing yet\n", "is empty; it must hold a YAML mapping."),
    "plain text": ("hello", "must hold a mapping (key: value) at its top level, not the text 'hello'."),
    "long text": ("x" * 100, "must hold a mapping (key: value) at its top level, not the text 'xxxxxxxx"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "start"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_cannot_be_read_is_one_sentence_with_its_location(file: Path, text: str, start: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(file, text)
    sentence = complaint(file, error)
    assert sentence.startswith(start)
    assert sentence.endswith(".")
    assert len(sentence) < 200


TOO_LARGE = {
    "merged sevenfold": "l0: &l0 {x: 1}\n"
    + "".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 10)}]}}\n" for n in range(1, 8)),
    "merged one by one": "l0: &l0 {a0: 1}\n"
    + "".join(f"l{n}: &l{n} {{<<: *l{n - 1}, a{n}: 1}}\n" for n in range(1, 300)),
    "laughs": "l0: &l0 [x]\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9)),
    "keys": "".join(f"key{n}: {n}\n" for n in range(15_000)),
}


@pytest.mark.parametrize("text", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_file_that_grows_without_bound_is_refused_within_two_seconds(file: Path, text: str) -> None:
    file.write_text(text)
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        load_yaml(file)
    assert time.process_time() - start < 2.0
    sentence = complaint(file, error)
    assert ": more than 10000 keys and values, counting what aliases stand for; correct the YAML there." in sentence
    assert sentence.startswith("line ")


def test_a_file_of_200000_keys_is_refused_by_its_size(file: Path) -> None:
    file.write_text("".join(f"key{n}: {n}\n" for n in range(200_000)))
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        load_yaml(file)
    assert time.process_time() - start < 0.5
    size = file.stat().st_size
    assert complaint(file, error) == (
        f"cannot be read ({size} bytes are more than the limit of 250000); give a YAML file."
    )


@pytest.mark.parametrize("text", ["a: 1" + "\n" * 249_000, "a: " + "x y " * 62_000, "# x\n" * 62_000 + "a: 1"])
def test_text_up_to_the_limit_takes_at_most_two_seconds(file: Path, text: str) -> None:
    file.write_text(text)
    start = time.process_time()
    load_yaml(file)
    assert time.process_time() - start < 2.0


def test_a_mapping_may_be_used_many_times(file: Path) -> None:
    text = "base: &base {x: 1, y: 2}\n" + "".join(f"m{n}: {{<<: *base, z: {n}}}\n" for n in range(900))
    assert parse(file, text).section("m899").number("y") == 2.0


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1:30", 90.0), ("190:20:30.15", 685230.15), ("0x1F", 31.0), ("0b11", 3.0), ("1_000", 1000.0)],
)
def test_the_other_notations_of_yaml_1_1_stay_numbers(file: Path, written: str, meant: float) -> None:
    assert parse(file, f"a: {written}").number("a") == meant


def test_long_keys_and_texts_make_no_long_message(file: Path) -> None:
    for text, read in (
        (f"{'k' * 900}: 1", lambda s: s.finish()),
        (f"a: {'t' * 5000}", lambda s: s.text("a", ["road"])),
        (f"a: [{'t' * 5000}, {'t' * 5000}]", lambda s: s.texts("a")),
        (f"a: 1{'0' * 300}", lambda s: s.number("a", 0.0, 1.0)),
    ):
        with pytest.raises(ConfigError) as error:
            read(parse(file, text))
        assert len(complaint(file, error)) < 300


def test_missing_files_folders_and_binary_files_are_reported_as_what_they_are(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xfa")
    for path, sentence in (
        (tmp_path / "none.yaml", "no such file; check the path."),
        (tmp_path, "cannot be read (Is a directory); give a YAML file."),
        (binary, "is not UTF-8 text; give a YAML file saved as UTF-8."),
    ):
        with pytest.raises(ConfigError) as error:
            load_yaml(path)
        assert complaint(path, error) == sentence


def test_values_come_out_with_the_type_that_was_asked_for(file: Path) -> None:
    section = parse(
        file,
        "text: road\nnumber: 2\nwhole: 9007199254740993\nflag: no\nnames: [a, b]\nnumbers: [1, 2.5]\ninner: {x: 1}\n",
    )
    assert section.text("text", ["road", "grass"]) == "road"
    assert section.number("number") == 2.0
    assert isinstance(section.number("number"), float)
    assert section.integer("whole", 0, 2**60) == 9007199254740993  # one more than a float can hold
    assert section.boolean("flag") is False
    assert section.texts("names") == ["a", "b"]
    assert section.numbers("numbers", 2) == [1.0, 2.5]
    assert section.section("inner").number("x", 0, 1) == 1.0
    assert list(section) == ["text", "number", "whole", "flag", "names", "numbers", "inner"]
    section.finish()


@pytest.mark.parametrize(
    ("written", "meant"), [("1e3", 1000.0), ("2.5e3", 2500.0), ("-1E-2", -0.01), (".5e1", 5.0), ("+1.e2", 100.0)]
)
def test_numbers_in_scientific_notation_are_numbers(file: Path, written: str, meant: float) -> None:
    assert parse(file, f"a: {written}").number("a") == meant


@pytest.mark.parametrize("written", ["e3", "1e", "1e3m", "'1e3'"])
def test_text_that_looks_a_little_like_a_number_stays_text(file: Path, written: str) -> None:
    assert parse(file, f"a: {written}").text("a") == written.strip("'")


def test_merged_mappings_may_be_overridden(file: Path) -> None:
    section = parse(file, "base: &base {x: 1, y: 2}\nother: {<<: *base, y: 3}\n").section("other")
    assert (section.number("x"), section.number("y")) == (1.0, 3.0)


WRONG_VALUES = {
    "missing": ("b: 1", lambda s: s.number("a"), "is missing; add it."),
    "text for number": ("a: high", lambda s: s.number("a"), "must be a number, not the text 'high'."),
    "truth value for number": ("a: yes", lambda s: s.number("a"), "must be a number, not the truth value true."),
    "nothing for number": ("a:", lambda s: s.number("a"), "must be a number, not nothing."),
    "infinite": ("a: -.inf", lambda s: s.number("a"), "must be a finite number, not -inf."),
    "not a number": ("a: .nan", lambda s: s.number("a"), "must be a finite number, not nan."),
    "too long for a float": (
        "a: " + "9" * 400,
        lambda s: s.number("a"),
        "must be a finite number, not 9999999999999999999999999999999999999....",
    ),
    "below": ("a: -1", lambda s: s.number("a", 0.0), "is -1, but must lie within 0 and above."),
    "above": ("a: 3", lambda s: s.number("a", maximum=2.0), "is 3, but must lie within 2 and below."),
    "outside": ("a: 3", lambda s: s.integer("a", 0, 2), "is 3, but must lie within 0 to 2."),
    "fraction for whole": ("a: 1.5", lambda s: s.integer("a", 0, 2), "must be a whole number, not the number 1.5."),
    "number for truth value": ("a: 1", lambda s: s.boolean("a"), "must be true or false, not the number 1."),
    "number for text": ("a: 1", lambda s: s.text("a"), "must be text, not the number 1."),
    "empty text": ("a: ' '", lambda s: s.text("a"), "must be text, not empty text."),
    "no choice": (
        "a: rode",
        lambda s: s.text("a", ["road", "grass"]),
        "'rode' is not known (did you mean 'road'?); use one of road, grass.",
    ),
    "text for list": ("a: x", lambda s: s.texts("a"), "must be a list, not the text 'x'."),
    "list for mapping": ("a: []", lambda s: s.section("a"), "must be a mapping (key: value), not a list."),
    "short list": ("a: [1]", lambda s: s.numbers("a", 3), "must have 3 numbers, not 1."),
}


@pytest.mark.parametrize(("text", "read", "sentence"), WRONG_VALUES.values(), ids=WRONG_VALUES.keys())
def test_a_wrong_value_is_one_sentence_with_its_key(file: Path, text: str, read, sentence: str) -> None:  # type: ignore[no-untyped-def]
    section = parse(file, text)
    with pytest.raises(ConfigError) as error:
        read(section)
    assert complaint(file, error) == f"key 'a': {sentence}"


def test_list_items_and_inner_keys_are_named_by_their_whole_path(file: Path) -> None:
    section = parse(file, "outer: {names: [a, 2], numbers: [1, x], twice: [a, a]}").section("outer")
    for read, sentence in (
        (lambda: section.texts("names"), "key 'outer.names[1]': must be text, not the number 2."),
        (lambda: section.numbers("numbers"), "key 'outer.numbers[1]': must be a number, not the text 'x'."),
        (lambda: section.texts("twice"), "key 'outer.twice[1]': 'a' is listed twice; keep one of the two."),
    ):
        with pytest.raises(ConfigError) as error:
            read()
        assert complaint(file, error) == sentence


def test_keys_that_nobody_asked_for_are_refused(file: Path) -> None:
    section = parse(file, "resolution: 1\nresolutoin: 2\n")
    section.number("resolution")
    with pytest.raises(ConfigError) as error:
        section.finish()
    assert complaint(file, error) == (
        "key 'resolutoin': is not a known key (did you mean 'resolution'?); known here: resolution."
    )


def test_an_optional_key_that_was_left_out_is_still_suggested(file: Path) -> None:
    section = parse(file, "lethal: 200\n")
    assert "lethal_at" not in section
    with pytest.raises(ConfigError) as error:
        section.finish()
    assert complaint(file, error) == (
        "key 'lethal': is not a known key (did you mean 'lethal_at'?); known here: lethal_at."
    )
