"""Directory layouts of datasets, described by patterns in YAML instead of a reader per dataset.

A layout is a YAML file, in `layouts/` or elsewhere. It says where images and labels are, which folders make up a split,
and what the label values are called. In its patterns `*` matches any part of one name, `**/` any folders and `{split}`
the folders of the chosen split. An image and a label form a pair if their wildcards match the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from seg_perception.datasets.label_files import CODES, Encoding, parse_code
from seg_perception.sensor_data.images.folder import IMAGE_SUFFIXES
from seg_perception.settings.yaml_file import Section, did_you_mean, load_yaml

_FOLDER = Path(__file__).with_name("layouts")
_ENCODINGS: dict[str, Encoding] = {encoding: encoding for encoding in CODES}


@dataclass(frozen=True)
class Layout:
    """How the files of a dataset are arranged.

    Attributes:
        images, labels: patterns relative to the dataset's root; a folder without `*` pairs files of equal names.
        splits: split → the folders that `{split}` matches.
        encoding: of the label files.
        names: name of a label → its code; empty where the values have no names.
    """

    images: str
    labels: str
    splits: Mapping[str, Sequence[str]]
    encoding: Encoding
    names: Mapping[str, int]


def read_layout(entry: Section) -> Layout:
    """The layout of a dataset: the named `layout` with overridden patterns, or its own images and labels or clicks.

    Raises:
        ConfigError: there is no such layout, or a pattern is missing.
    """
    if "clicks" in entry:
        return Layout(entry.text("images"), entry.text("clicks"), {}, "ids", {})
    if "layout" not in entry:
        # A colour is text, "R G B", and every other value a number.
        encoding: Encoding = "colours" if any(isinstance(key, str) for key in entry.section("values")) else "ids"
        return Layout(entry.text("images"), entry.text("labels"), {}, encoding, {})
    name = entry.text("layout")
    shipped = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
    if not name.endswith(".yaml") and name not in shipped:
        raise entry.error(
            "layout", f"'{name}' is not known{did_you_mean(name, shipped)}; use {', '.join(shipped)} or a .yaml file."
        )
    file = load_yaml(entry.path.parent / name if name.endswith(".yaml") else _FOLDER / f"{name}.yaml")
    images, labels = ((entry if key in entry else file).text(key) for key in ("images", "labels"))
    for key in ("images", "labels"):
        file.value(key)
    encoding = _ENCODINGS[file.text("encoding", _ENCODINGS)]
    names = file.section("names") if "names" in file else None
    splits = file.section("splits") if "splits" in file else None
    file.finish()
    return Layout(
        images,
        labels,
        {split: splits.texts(split) for split in splits} if splits else {},
        encoding,
        {str(key): parse_code(names, str(key), names.value(key), encoding) for key in names} if names else {},
    )


def find_pairs(entry: Section, layout: Layout, root: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Image and label files of a dataset, in the order of their names.

    Args:
        entry: the dataset's YAML; its `root`, `split`, `only` and `leave_out` are read.
        layout: of its files.
        root: folder that its `root` starts from.

    Raises:
        ConfigError: nothing is found, a file has no partner, or a selection matches no image.
    """
    base = root / entry.text("root") if "root" in entry else root
    folders = layout.splits[entry.text("split", layout.splits)] if layout.splits else [""]
    images = _matches(entry, "images", base, layout.images, folders)
    key = "clicks" if "clicks" in entry else "labels"
    labels = _matches(entry, key, base, layout.labels, folders)
    unpaired = images.keys() ^ labels.keys()
    if unpaired:
        first = "/".join(part for part in min(unpaired) if part)
        raise entry.error(
            key if key in entry else "layout",
            f"{len(unpaired)} images and {key} below {base} have no partner of the same name, first {first}.",
        )
    kept = _selected(entry, base, [images[key] for key in sorted(images)])
    by_image = {image: labels[key] for key, image in images.items()}
    return tuple(kept), tuple(by_image[image] for image in kept)


def _matches(entry: Section, key: str, base: Path, pattern: str, folders: Sequence[str]) -> dict[tuple[str, ...], Path]:
    """Files that a pattern matches, by the text that its wildcards match."""
    found: dict[tuple[str, ...], Path] = {}
    where = key if key in entry else "layout"
    for folder in folders:
        path_pattern = pattern.replace("{split}", folder)
        if Path(path_pattern).is_absolute():
            raise entry.error(where, f"{path_pattern} is absolute; give it below 'root' or --data ROOT.")
        if "*" not in path_pattern and not (base / path_pattern).is_dir():
            raise entry.error(where, f"{base / path_pattern} is not a folder; correct the path or give --data ROOT.")
        for path in base.glob(path_pattern if "*" in path_pattern else f"{path_pattern}/*"):
            wildcards = _wildcards(path, base, path_pattern, (".csv",) if key == "clicks" else IMAGE_SUFFIXES)
            if wildcards is None or path.name.startswith("."):  # such as ._a.png, which macOS leaves in archives
                continue
            name = (folder, *wildcards)
            if name in found:
                raise entry.error(where, f"{path} and {found[name].name} have the same name; remove one.")
            found[name] = path
    if not found:
        searched = ", ".join(pattern.replace("{split}", folder) for folder in folders)
        raise entry.error(where, f"{base} holds no image at {searched}; correct the path or give --data ROOT.")
    return found


def _wildcards(path: Path, base: Path, pattern: str, suffixes: Sequence[str]) -> tuple[str, ...] | None:
    """The text that the wildcards of a pattern match in a path, or None if it does not match.

    A pattern without wildcards is a folder, in which all files with one of the suffixes match.
    """
    if "*" not in pattern:
        return (path.stem,) if path.suffix.lower() in suffixes else None
    parts = re.split(r"(\*\*/|\*)", pattern)
    regex = "".join({"**/": "((?:[^/]+/)*)", "*": "([^/]+)"}.get(part, re.escape(part)) for part in parts)
    match = re.fullmatch(regex, path.relative_to(base).as_posix())
    return match.groups() if match else None


def _selected(entry: Section, base: Path, images: Sequence[Path]) -> list[Path]:
    """The images that match `only`, if given, without those that match `leave_out`."""
    kept = list(images)
    for key, keep in (("only", True), ("leave_out", False)):
        if key not in entry:
            continue
        chosen: set[Path] = set()
        for pattern in entry.texts(key):
            hits = {image for image in images if _is_named(image, base, pattern)}
            if not hits:
                # A typing error here would let held-out images into training.
                raise entry.error(key, f"'{pattern}' matches no image below {base}; correct it.")
            chosen |= hits
        kept = [image for image in kept if (image in chosen) == keep]
    if not kept:
        raise entry.error("leave_out", "no image is left; leave out less.")
    return kept


def _is_named(image: Path, base: Path, pattern: str) -> bool:
    first, dots, last = pattern.partition("..")
    if dots:
        return first <= image.stem <= last
    return fnmatchcase(image.relative_to(base).as_posix() if "/" in pattern else image.stem, pattern)
