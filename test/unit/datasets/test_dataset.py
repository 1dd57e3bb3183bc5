"""Reading label files: numbers, palettes, 16 bits, colours; and the messages about mistakes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seg_perception.datasets.dataset import IGNORE, Dataset, LabelSpace, load_sample, read_datasets
from seg_perception.datasets.label_files import parse_code
from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import load_yaml

CLASSES = ("Sky", "Tree", "Grass")


def _write_pair(root: Path, name: str, label: np.ndarray) -> None:
    for folder in ("images", "labels"):
        (root / folder).mkdir(exist_ok=True)
    image = np.repeat(label[:, :, None] * 60, 3, axis=2).astype(np.uint8)
    cv2.imwrite(str(root / "images" / f"{name}.png"), image)
    cv2.imwrite(str(root / "labels" / f"{name}.png"), label)


def _read(
    root: Path, values: str = "{0: Sky, 1: [Tree, Grass], 2: Grass, 3: ignore}", images: str = "images", more: str = ""
) -> tuple[Dataset, LabelSpace]:
    yaml = root / "data.yaml"
    yaml.write_text(f"train:\n  toy: {{images: {images}, labels: labels, values: {values}{more}}}\n", encoding="utf-8")
    (dataset,), space = read_datasets(load_yaml(yaml), "train", CLASSES, root)
    return dataset, space


def test_a_label_may_leave_the_choice_between_classes_open(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.array([[0, 1], [2, 3]], np.uint8))
    dataset, space = _read(tmp_path)
    assert load_sample(dataset, 0).label.tolist() == [[0, 3], [2, IGNORE]]
    assert space.members(3) == (1, 2) and space.name(3) == "Tree|Grass"


def test_palette_files_are_read_by_index(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    image = Image.fromarray(np.array([[0, 2], [2, 3]], np.uint8), mode="P")
    image.putpalette([9, 9, 9, 200, 0, 0, 9, 9, 9, 1, 2, 3])
    image.save(tmp_path / "labels" / "a.png")
    dataset, _ = _read(tmp_path)
    assert load_sample(dataset, 0).label.tolist() == [[0, 2], [2, IGNORE]]


def test_labels_may_have_16_bits(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.array([[0, 1000], [40000, 0]], np.uint16))
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((2, 2, 3), np.uint8))
    dataset, _ = _read(tmp_path, "{0: Sky, 1000: Tree, 40000: ignore}")
    assert load_sample(dataset, 0).label.tolist() == [[0, 1], [IGNORE, 0]]


@pytest.mark.parametrize(
    "saved", [lambda image: image, lambda image: image.quantize(2), lambda image: image.convert("RGBA")]
)
def test_labels_may_be_colours(tmp_path: Path, saved) -> None:
    _write_pair(tmp_path, "a", np.zeros((1, 2), np.uint8))
    image = Image.fromarray(np.array([[[128, 64, 20], [0, 0, 255]]], np.uint8))
    saved(image).save(tmp_path / "labels" / "a.png")
    dataset, _ = _read(tmp_path, "{'128 64 20': Tree, '0, 0, 255': Sky}")
    assert load_sample(dataset, 0).label.tolist() == [[1, 0]]


def test_others_gives_the_meaning_of_all_values_that_are_not_named(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.array([[0, 7], [200, 1]], np.uint8))
    dataset, _ = _read(tmp_path, "{1: Tree}", more=", others: ignore")
    assert load_sample(dataset, 0).label.tolist() == [[IGNORE, IGNORE], [IGNORE, 1]]


def test_the_exif_orientation_of_an_image_is_ignored(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.zeros((4, 6), np.uint8))
    (tmp_path / "images" / "a.png").unlink()
    orientation = Image.Exif()
    orientation[0x0112] = 6  # orientation: turn right by 90 degrees
    Image.fromarray(np.full((4, 6, 3), 77, np.uint8)).save(tmp_path / "images" / "a.jpg", exif=orientation)
    dataset, _ = _read(tmp_path)
    assert load_sample(dataset, 0).image.shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("values", "images", "sentence"),
    [
        ("{0: Sky, 1: Bush}", "images", "'Bush' is not one of the classes"),
        ("{0: Sky, 1: tree}", "images", "did you mean 'Tree'"),
        ("{70000: Sky}", "images", "whole number from 0 to 65535"),
        ("{0: Sky, '1 2 3': Tree}", "images", "three whole numbers from 0 to 255"),
        ("{'1 2': Sky}", "images", "three whole numbers from 0 to 255"),
        ("{'1 2 300': Sky}", "images", "must lie within 0 to 255"),
        ("{0: Sky}", "pictures", "is not a folder"),
    ],
)
def test_mistakes_in_the_description_name_the_key(tmp_path: Path, values: str, images: str, sentence: str) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    with pytest.raises(ConfigError, match=sentence):
        _read(tmp_path, values, images)


def test_an_image_without_label_is_named(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    _write_pair(tmp_path, "b", np.zeros((2, 2), np.uint8))
    (tmp_path / "labels" / "b.png").unlink()
    with pytest.raises(ConfigError, match="no partner of the same name, first b"):
        _read(tmp_path)


def test_two_images_of_the_same_name_are_refused(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    (tmp_path / "images" / "a.jpg").write_bytes((tmp_path / "images" / "a.png").read_bytes())
    with pytest.raises(ConfigError, match=r"a\.(png|jpg) and a\.(png|jpg) have the same name"):
        _read(tmp_path)


def _colours(path: Path) -> None:
    cv2.imwrite(str(path), np.full((2, 2, 3), 7, np.uint8))


@pytest.mark.parametrize(
    ("values", "damage", "sentence"),
    [
        ("{0: Sky}", lambda path: path.write_bytes(b"no image"), "not an image that can be decoded"),
        ("{0: Sky}", lambda path: path.write_bytes(path.read_bytes()[:45]), "not an image that can be decoded"),
        ("{0: Sky}", lambda path: cv2.imwrite(str(path), np.zeros((3, 2), np.uint8)), "they must agree"),
        ("{0: Sky}", _colours, "holds RGB pixels, but one number per pixel is expected"),
        ("{0: Sky}", lambda path: cv2.imwrite(str(path), np.full((2, 2), 77, np.uint8)), "holds value 77, which"),
        ("{'0 0 0': Sky}", _colours, "holds colour 7 7 7, which"),
        ("{'0 0 0': Sky}", lambda path: None, "holds L pixels, but colours are expected"),
    ],
)
def test_a_broken_label_file_is_one_sentence(tmp_path: Path, values: str, damage, sentence: str) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    damage(tmp_path / "labels" / "a.png")
    dataset, _ = _read(tmp_path, values)
    with pytest.raises(ConfigError, match=sentence):
        load_sample(dataset, 0)


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        ("leave_out: ['b*']", ["a_001", "a_002", "a_010"]),
        ("leave_out: [a_001..a_002]", ["a_010", "b_001"]),
        ("only: ['a_*'], leave_out: [a_002, a_010..a_999]", ["a_001"]),
        ("only: ['images/*_001.png']", ["a_001", "b_001"]),
    ],
)
def test_sequences_can_be_held_out_by_name(tmp_path: Path, selection: str, kept: list[str]) -> None:
    for name in ("a_001", "a_002", "a_010", "b_001"):
        _write_pair(tmp_path, name, np.zeros((2, 2), np.uint8))
    dataset, _ = _read(tmp_path, "{0: Sky}", more=f", {selection}")
    assert [path.stem for path in dataset.images] == [path.stem for path in dataset.labels] == kept


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [
        ("leave_out: ['c*']", r"key 'train.toy.leave_out': 'c\*' matches no image"),
        ("leave_out: ['*']", "no image is left"),
        ("only: b..c", "must be a list"),
    ],
)
def test_a_selection_without_images_is_refused(tmp_path: Path, selection: str, sentence: str) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    with pytest.raises(ConfigError, match=sentence):
        _read(tmp_path, "{0: Sky}", more=f", {selection}")


def test_the_frames_around_the_held_out_clip_of_real_camvid_are_left_out(real_data: Path, tmp_path: Path) -> None:
    entry = "{layout: camvid, root: camvid, images: '{split}/images/*.jpg', labels: '{split}/labels/*.png', split: %s, "
    entry += "values: {Tree: [Tree, Grass]}, others: ignore%s}"
    near = ", leave_out: [0016E5_07680..0016E5_07920, 0016E5_08190..0016E5_08430]"
    yaml = tmp_path / "data.yaml"
    yaml.write_text(f"train:\n  near: {entry % ('train', near)}\n  clip: {entry % ('val', '')}\n", encoding="utf-8")
    (train, clip), space = read_datasets(load_yaml(yaml), "train", CLASSES, real_data)

    frames = [int(path.stem.split("_")[1]) for path in train.images if path.stem.startswith("0016E5")]
    held_out = [int(path.stem.split("_")[1]) for path in clip.images]
    assert (len(train.images), len(clip.images)) == (367 - 18, 101)
    assert min(abs(frame - held) for frame in frames for held in held_out) > 10 * 30, "ten seconds at 30 Hz"
    assert set(np.unique(load_sample(clip, 50).label)) == {0, 3, IGNORE}
    assert space.name(3) == "Tree|Grass"


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_files_that_declare_more_pixels_than_the_limit_are_refused(tmp_path: Path, folder: str) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    file = tmp_path / folder / "a.png"
    content = bytearray(file.read_bytes())
    content[16:33] = struct.pack(">IIBBBBB", 30_000, 30_000, content[24], content[25], 0, 0, 0) + bytes(4)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    file.write_bytes(content)
    dataset, _ = _read(tmp_path, "{0: Sky}")
    with pytest.raises(
        ConfigError, match=r"a\.png: is not an image .*: 30000x30000 pixels are more than the limit of 2"
    ):
        load_sample(dataset, 0)


@pytest.mark.parametrize("colour", ["[1, 2, {a: 3}]", "[1, [2], 3]", "[1, 2, x]", "999999999 0 0"])
def test_a_colour_of_other_values_is_one_sentence(tmp_path: Path, colour: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"right: ['1', 2, 3]\ncolour: {colour}")
    section = load_yaml(file)
    assert parse_code(section, "right", section.value("right"), "colours") == 0x010203
    with pytest.raises(
        ConfigError, match=r"key 'colour': (must be a number, not|is 9999, but must lie within 0 to 255)"
    ):
        parse_code(section, "colour", section.value("colour"), "colours")
