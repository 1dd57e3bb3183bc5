"""Dataset layouts: each finds its pairs in the unpacked archive and maps its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from seg_perception.datasets import layouts
from seg_perception.datasets.dataset import IGNORE, Dataset, load_sample, read_datasets
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.labels import EvaluationLabels
from seg_perception.settings.yaml_file import load_yaml
from seg_perception.training.plan import load_plan
from seg_perception.utils.package_files import find

CLASSES = ("Drivable", "Person")
SHIPPED = sorted(path.stem for path in Path(layouts.__file__).with_name("layouts").glob("*.yaml"))


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((2, 2, 3), np.uint8))


def _ids(path: Path, *values: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array(values, np.uint8).reshape(2, 2))


def _colours(path: Path, *values: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8).reshape(2, 2, 3)).save(path)


def _palette(path: Path, *values: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values, np.uint8).reshape(2, 2), mode="P")
    image.putpalette(list(range(255, 255 - 3 * 66, -1)))
    image.save(path)


def _read(folder: Path, **entry: Any) -> Dataset:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"train": {"toy": entry}}), encoding="utf-8")
    (dataset,), _ = read_datasets(load_yaml(path), "train", CLASSES, folder)
    return dataset


def _labels(dataset: Dataset) -> list[list[int]]:
    return [load_sample(dataset, index).label.ravel().tolist() for index in range(len(dataset.images))]


def test_cityscapes(tmp_path: Path) -> None:
    for split, city, frame in (("train", "aachen", 1), ("train", "bochum", 2), ("val", "lindau", 3)):
        name = f"{city}_000000_{frame:06d}"
        _image(tmp_path / f"cs/leftImg8bit/{split}/{city}/{name}_leftImg8bit.png")
        _ids(tmp_path / f"cs/gtFine/{split}/{city}/{name}_gtFine_labelIds.png", 7, 8, 24, 4)
        # Other files of the archive.
        _ids(tmp_path / f"cs/gtFine/{split}/{city}/{name}_gtFine_instanceIds.png", 0, 0, 0, 0)
        (tmp_path / f"cs/gtFine/{split}/{city}/{name}_gtFine_polygons.json").write_text("{}")
    dataset = _read(
        tmp_path,
        layout="cityscapes",
        root="cs",
        split="train",
        values={"road": "Drivable", "sidewalk": "Drivable", "person": "Person"},
        others="ignore",
    )
    assert [path.parent.name for path in dataset.images] == ["aachen", "bochum"]
    assert _labels(dataset) == [[0, 0, 1, IGNORE]] * 2


def test_rugd(tmp_path: Path) -> None:
    for scene in ("creek", "trail", "trail-3", "park-8"):
        _image(tmp_path / f"RUGD_frames-with-annotations/{scene}/{scene}_00001.png")
        colours = (108, 64, 20), (0, 0, 0), (204, 153, 255), (64, 64, 64)  # dirt, void, person, asphalt
        _colours(tmp_path / f"RUGD_annotations/{scene}/{scene}_00001.png", *colours)
    (tmp_path / "RUGD_annotations/trail/._trail_00001.png").write_bytes(b"what macOS leaves in archives")
    values = {"dirt": "Drivable", "asphalt": ["Drivable", "Person"], "person": "Person"}
    with pytest.raises(ConfigError, match="holds no image at"):
        (tmp_path / "empty").mkdir()
        _read(tmp_path, layout="rugd", root="empty", split="train", values=values)
    # Scenes of a split that were not unpacked are no error.
    dataset = _read(tmp_path, layout="rugd", split="train", values=values, others="ignore")
    assert [path.parent.name for path in dataset.images] == ["trail", "trail-3"]
    assert _labels(dataset) == [[0, IGNORE, 1, 2]] * 2


@pytest.mark.parametrize(
    ("layout", "labels", "road", "person", "more"),
    [
        ("mapillary_v1.2", "training/v1.2/labels", 13, 19, {}),
        ("mapillary_v1.2", "training/labels", 13, 19, {"labels": "{split}/labels/*.png"}),
        ("mapillary_v2.0", "training/v2.0/labels", 21, 30, {}),
    ],
)
def test_mapillary_vistas(
    tmp_path: Path, layout: str, labels: str, road: int, person: int, more: dict[str, str]
) -> None:
    _image(tmp_path / "training/images/aB-c_9.jpg")
    _palette(tmp_path / labels / "aB-c_9.png", road, person, 0, road)
    dataset = _read(
        tmp_path, layout=layout, split="train", values={"Road": "Drivable", "Person": "Person"}, others="ignore", **more
    )
    assert _labels(dataset) == [[0, 1, IGNORE, 0]]


def test_ade20k_scene_parsing(tmp_path: Path) -> None:
    for split, folder in (("train", "training"), ("val", "validation")):
        _image(tmp_path / f"images/{folder}/ADE_{split}_00000001.jpg")
        _ids(tmp_path / f"annotations/{folder}/ADE_{split}_00000001.png", 0, 7, 13, 150)
    dataset = _read(
        tmp_path, layout="ade20k", split="val", values={"road": "Drivable", "person": "Person"}, others="ignore"
    )
    assert [path.name for path in dataset.images] == ["ADE_val_00000001.jpg"]
    assert _labels(dataset) == [[IGNORE, 0, 1, IGNORE]]


def test_ade20k_in_full(tmp_path: Path) -> None:
    folder = tmp_path / "images/ADE/training/urban/street"
    _image(folder / "ADE_train_00016869.jpg")
    # Red holds the hundreds in steps of ten, blue the instance: car is 401 = 1·256 + 145, person 1831 = 7·256 + 39.
    colours = (10, 145, 3), (10, 145, 255), (70, 39, 1), (0, 0, 0)
    _colours(folder / "ADE_train_00016869_seg.png", *colours)
    _colours(folder / "ADE_train_00016869_parts_1.png", *colours)
    _ids(folder / "ADE_train_00016869" / "instance_000_ADE_train_00016869.png", 0, 0, 0, 0)
    dataset = _read(
        tmp_path, layout="ade20k_full", split="train", values={401: "Drivable", 1831: "Person"}, others="ignore"
    )
    assert _labels(dataset) == [[0, 0, 1, IGNORE]]


def test_camvid_of_the_segnet_authors(tmp_path: Path) -> None:
    for split in ("train", "val"):
        _image(tmp_path / split / "0001TP_006690.png")
        _ids(tmp_path / f"{split}annot" / "0001TP_006690.png", 3, 4, 9, 11)
    values = {"Road": "Drivable", "Pavement": "Drivable", "Pedestrian": "Person"}
    dataset = _read(tmp_path, layout="camvid", split="train", values=values, others="ignore")
    assert _labels(dataset) == [[0, 0, 1, IGNORE]]


def test_camvid_of_cambridge(tmp_path: Path) -> None:
    for name in ("0001TP_006690", "0016E5_08000"):
        _image(tmp_path / "701_StillsRaw_full" / f"{name}.png")
        colours = (128, 64, 128), (0, 0, 192), (64, 64, 0), (0, 0, 0)
        _colours(tmp_path / "LabeledApproved_full" / f"{name}_L.png", *colours)
    values = {"Road": "Drivable", "Sidewalk": "Drivable", "Pedestrian": "Person"}
    entry = {"layout": "camvid_colours", "values": values, "others": "ignore"}
    assert _labels(_read(tmp_path, **entry)) == [[0, 0, 1, IGNORE]] * 2
    assert [path.stem for path in _read(tmp_path, **entry, leave_out=["0016E5_*"]).images] == ["0001TP_006690"]


def test_labels_named_like_a_class_need_no_entry(tmp_path: Path) -> None:
    _image(tmp_path / "training/images/a.jpg")
    _ids(tmp_path / "training/v1.2/labels/a.png", 19, 13, 19, 13)
    dataset = _read(tmp_path, layout="mapillary_v1.2", split="train", others="ignore")
    assert _labels(dataset) == [[1, IGNORE, 1, IGNORE]]


def test_a_custom_layout_is_a_file_next_to_the_plan(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "images: '**/cam/*.jpg'\nlabels: '**/mask/*_m.png'\nencoding: ids\nnames: {floor: 4}\n", encoding="utf-8"
    )
    for folder in ("", "monday/", "monday/noon/"):
        _image(tmp_path / f"{folder}cam/1.jpg")
        _ids(tmp_path / f"{folder}mask/1_m.png", 4, 4, 4, 4)
    dataset = _read(tmp_path, layout="mine.yaml", values={"floor": "Drivable"})
    assert len(dataset.images) == 3
    pairs = zip(dataset.images, dataset.labels, strict=True)
    assert all(image.parent.parent == label.parent.parent for image, label in pairs)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"layout": "cityscape"}, r"'cityscape' is not known \(did you mean 'cityscapes'\?\); use ade20k, "),
        ({"layout": "cityscapes", "split": "training"}, r"'training' is not known .*use one of train, val"),
        ({"layout": "cityscapes"}, "key 'train.toy.split': is missing"),
        ({"layout": "camvid_colours", "split": "train"}, "'train.toy.split': is not a known key"),
        ({"layout": "cityscapes", "split": "val", "values": {"street": "Drivable"}}, "is not a label of this dataset"),
        ({"layout": "cityscapes", "split": "val", "values": {"raod": "Drivable"}}, "did you mean 'road'"),
        (
            {"layout": "cityscapes", "split": "val", "values": {"road": "Drivable"}},
            "holds no image at leftImg8bit/val/",
        ),
        ({"layout": "missing.yaml"}, "missing.yaml: no such file"),
        (
            {"images": "/pictures", "labels": "/masks", "values": {0: "Drivable"}},
            "/pictures is absolute; give it below",
        ),
        ({"images": "/a/*.png", "labels": "b/*.png", "values": {0: "Drivable"}}, r"/a/\*\.png is absolute"),
    ],
)
def test_mistakes_about_a_layout_are_one_sentence(tmp_path: Path, entry: dict[str, Any], sentence: str) -> None:
    _image(tmp_path / "701_StillsRaw_full/a.png")
    _ids(tmp_path / "LabeledApproved_full/a_L.png", 0, 0, 0, 0)
    with pytest.raises(ConfigError, match=sentence):
        _read(tmp_path, **entry)


def test_others_does_not_cover_values_that_the_layout_lacks(tmp_path: Path) -> None:
    # Such as the trainIds of another tool in place of the labelIds.
    _image(tmp_path / "leftImg8bit/val/a/a_leftImg8bit.png")
    _ids(tmp_path / "gtFine/val/a/a_gtFine_labelIds.png", 7, 7, 7, 200)
    dataset = _read(tmp_path, layout="cityscapes", split="val", values={"road": "Drivable"}, others="ignore")
    with pytest.raises(ConfigError, match="holds value 200"):
        load_sample(dataset, 0)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_two_labels_of_a_layout_share_a_value(name: str) -> None:
    file = load_yaml(Path(layouts.__file__).with_name("layouts") / f"{name}.yaml")
    values = [str(file.value("names")[label]) for label in file.section("names")] if "names" in file else []
    assert len(set(values)) == len(values)


def _tree_for(plan: Path, root: Path) -> None:
    """One image and label for every split that a shipped plan reads, with every label that its layout names."""
    for part in ("train", "validation"):
        listing = load_yaml(plan).section(part)
        for name in listing:
            entry = listing.section(name)
            layout = layouts.read_layout(entry)
            folder = layout.splits[entry.text("split")][0]
            base = root / entry.text("root")
            paths = [
                base / pattern.replace("{split}", folder).replace("*", "a")
                for pattern in (layout.images, layout.labels)
            ]
            codes = np.array(list(layout.names.values()))[None]
            _image(paths[0])
            paths[1].parent.mkdir(parents=True, exist_ok=True)
            if layout.encoding == "colours":
                Image.fromarray(np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 2).astype(np.uint8)).save(
                    paths[1]
                )
            else:
                cv2.imwrite(str(paths[1]), codes.astype(np.uint8))
            cv2.imwrite(str(paths[0]), np.zeros((*codes.shape, 3), np.uint8))


@pytest.mark.parametrize("name", ["cityscapes", "rugd", "mapillary", "ade20k"])
def test_a_shipped_plan_gives_every_label_a_meaning_and_every_class_a_label(tmp_path: Path, name: str) -> None:
    path = find(f"config/training/{name}.yaml")
    _tree_for(path, tmp_path)
    plan = load_plan(path, tmp_path)
    train, validation = ([load_sample(dataset, 0).label for dataset in part] for part in (plan.train, plan.validation))
    assert set(range(len(plan.classes))) <= set(np.unique(train))
    labels = EvaluationLabels.of(validation, plan.space)  # raises where labels overlap
    assert set(plan.classes) == set(labels.names)
