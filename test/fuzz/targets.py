"""The readers that are fuzzed: for each, how an input is made from a seeded generator, and the call that takes it."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from mutations import damaged_bytes, damaged_png, damaged_text, number, some
from PIL import Image

from seg_perception.datasets.label_files import CODES, read_codes
from seg_perception.datasets.layouts import read_layout
from seg_perception.datasets.plan import load_dataset_plan
from seg_perception.datasets.point_supervision import read_point_labels
from seg_perception.errors import SegPerceptionError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.model.card import ModelCard
from seg_perception.risk.cost_matrix import CostMatrix, read_changes
from seg_perception.sensor_data.images.compressed import decode_compressed, reduction, size_of
from seg_perception.sensor_data.images.depth import DEPTH_ENCODINGS, decode_compressed_depth, decode_depth
from seg_perception.sensor_data.images.folder import read_image
from seg_perception.sensor_data.images.labelled_files import decode_image_file, image_file_size
from seg_perception.sensor_data.images.raw import SUPPORTED_ENCODINGS, decode_image
from seg_perception.sensor_data.point_clouds.decode import decode_points
from seg_perception.settings.grid import GridSettings, read_half_lives
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings, load_settings
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.settings.yaml_file import load_yaml

MAX_MESSAGE = 600  # characters; messages that list the classes of the shipped network have 300
ROOT = Path(__file__).resolve().parents[2]

CAMERA = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [400.0, 0.0, 319.5, 0.0, 400.0, 239.5, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, -0.002, -0.01]}
rectification_matrix: {rows: 3, cols: 3, data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]}
"""
DISTORTIONS = {
    "plumb_bob": (5, 4, 0),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
POINTS = np.array([[0.0, 0.0, 1.0], [1.0, -1.0, 2.0], [1e6, 1.0, 1e-3], [1.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
PIXELS = np.array([[0.0, 0.0], [319.5, 239.5], [639.0, 479.0], [-1e5, 1e5]])


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        make: an input, from a generator.
        read: reads it; gets an empty folder for files.
    """

    make: Callable[[random.Random], Any]
    read: Callable[[Any, Path], object]


def shipped_text(pattern: str) -> Callable[[random.Random], bytes]:
    """Damaged texts of the shipped files that a pattern matches."""

    @cache
    def texts() -> list[str]:
        return [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern))]

    return lambda rng: damaged_text(rng.choice(texts()), rng)


def as_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """A reader of files as one of their content."""

    def read_content(content: bytes, folder: Path) -> object:
        file = folder / name
        file.write_bytes(content)
        return read(file)

    return read_content


@cache
def classes() -> tuple[str, ...]:
    """Class names of the shipped network."""
    return ModelCard.load(ROOT / "models/urban.yaml").classes


def change_costs(content: bytes, folder: Path) -> object:
    """Costs as the parameters of the node give them."""
    matrix = CostMatrix.load(ROOT / "config/cost_matrices/sidewalk_robot.yaml", classes())
    return matrix.changed(read_changes(content.decode("utf-8", "replace").splitlines(), "costs"))


def make_changes(rng: random.Random) -> bytes:
    """Lines of `make_changes` with mistakes."""
    name, other = rng.choice(classes()), rng.choice(classes())
    return damaged_text(f"traverse.{name}: {number(rng)}\nmisclassification.{name}.{other}: {number(rng)}", rng)


def use_camera(file: Path) -> object:
    """Read a calibration and use it."""
    return project(Camera.from_yaml(file))


def project(camera: Camera) -> object:
    """What the pipeline does with a camera."""
    resized = camera.resized(320, 240)
    return camera.project(POINTS), camera.rays(PIXELS), resized.project(POINTS), resized.rays(PIXELS)


def make_camera(rng: random.Random) -> tuple[Any, ...]:
    """Fields of a CameraInfo."""
    model = rng.choice(tuple(DISTORTIONS))
    distortion = [rng.gauss(0, 0.2) for _ in range(rng.choice(DISTORTIONS[model]))]
    k = some([400.0, 0.0, 319.5, 0.0, 400.0, 239.5, 0.0, 0.0, 1.0], rng)
    p = some([400.0, 0.0, 319.5, 0.0, 0.0, 400.0, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0], rng)
    sizes = (640, 480) if rng.random() < 0.9 else (rng.randrange(2**32), rng.randrange(2**32))
    return (
        *sizes,
        rng.choice((model, "", "tilted")),
        k,
        some(distortion, rng),
        p,
        rng.choice(("image_raw", "image_rect")),
    )


def use_info(fields: tuple[Any, ...], folder: Path) -> object:
    """Make a camera of a CameraInfo and use it."""
    width, height, model, k, d, p, topic = fields
    if len(p) != 12:
        return None  # the message has 12 always
    return project(Camera.from_info(width, height, model, k, d, p, topic))


def use_transforms(numbers: list[float], folder: Path) -> object:
    """Extrinsics and poses of messages, and what is computed from them."""
    if len(numbers) != 13:
        return None
    mount = mount_to_base_from_optical(*numbers[:6])
    pose = Transform.from_quaternion(numbers[6:9], numbers[9:13])
    return (pose @ mount).apply(POINTS), (pose @ mount).inverse().quaternion(), pose.rpy()


def make_settings(rng: random.Random) -> dict[str, dict[str, Any]]:
    """Settings as Python gives them."""
    kinds: dict[str, Any] = {"grid": GridSettings(), "ground": GroundSettings(), "projection": ProjectionSettings()}
    values: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    for _ in range(rng.randint(1, 3)):
        section = rng.choice(tuple(kinds))
        name = rng.choice(tuple(vars(kinds[section])))
        if name != "half_lives":
            values[section][name] = rng.choice((number(rng), number(rng), 10**400, "text", None, True, [1.0]))
    return values


def use_settings(values: dict[str, dict[str, Any]], folder: Path) -> object:
    """Settings and the sizes derived from them."""
    settings = PipelineSettings.from_values(values)
    return settings.grid.rows, settings.grid.cols, settings.ground.ranges, settings.ground.bearing_count


def read_layouts(file: Path) -> object:
    """A dataset that names the file as its layout."""
    entry = file.with_name("entry.yaml")
    entry.write_text(f"layout: {file.name}\n", encoding="utf-8")
    return read_layout(load_yaml(entry))


@cache
def encoded(suffix: str, *options: int) -> list[bytes]:
    """Valid images of several kinds."""
    noise = np.random.default_rng(5)
    shapes = ((16, 24, 3), (48, 64, 3), (33, 17)) + (((16, 24, 4),) if suffix in (".png", ".webp", ".tif") else ())
    if suffix in (".ppm", ".pgm"):
        shapes = ((16, 24, 3),) if suffix == ".ppm" else ((33, 17),)
    images = [noise.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    if suffix in (".png", ".tif"):
        images.append(noise.integers(0, 65536, (20, 30), dtype=np.uint16))
    return [cv2.imencode(suffix, image, options)[1].tobytes() for image in images]


@cache
def encoded_by_pillow() -> list[bytes]:
    """Label files: numbers, palettes, colours, tiles."""
    noise = np.random.default_rng(6)
    grey = Image.fromarray(noise.integers(0, 20, (40, 30), dtype=np.uint8))
    kinds = (
        ("PNG", "L", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "RGB", {}),
        ("TIFF", "L", {}),
        ("BMP", "P", {}),
    )
    files = []
    for file_format, mode, options in (*kinds, ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "I", {})):
        buffer = io.BytesIO()
        grey.convert(mode).save(buffer, file_format, **options)
        files.append(buffer.getvalue())
    return files


def make_jpeg(rng: random.Random) -> bytes:
    """Damaged JPEGs, baseline and progressive."""
    return damaged_bytes(rng.choice(encoded(".jpg") + encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), rng)


def make_png(rng: random.Random) -> bytes:
    """Damaged PNGs, most of them with right checksums."""
    content = rng.choice(encoded(".png"))
    return damaged_png(content, rng) if rng.random() < 0.8 else damaged_bytes(content, rng)


def make_other_image(rng: random.Random) -> bytes:
    """Damaged images of all other formats."""
    kinds = [content for suffix in (".bmp", ".tif", ".webp", ".ppm", ".pgm") for content in encoded(suffix)]
    return damaged_bytes(rng.choice(kinds), rng)


def make_label_file(rng: random.Random) -> bytes:
    """Damaged label files."""
    content = rng.choice(encoded_by_pillow())
    return damaged_png(content, rng) if content[1:4] == b"PNG" and rng.random() < 0.6 else damaged_bytes(content, rng)


def read_compressed(content: bytes, folder: Path) -> object:
    """As the node reads a CompressedImage."""
    return decode_compressed(content, reduction(size_of(content), (8, 8)))


def read_label_file(file: Path) -> object:
    """As datasets and masks are read, in every way."""
    readers = [image_file_size, read_image, lambda path: decode_image_file(path, cv2.IMREAD_UNCHANGED)]
    readers += [partial(read_codes, encoding=encoding) for encoding in CODES]
    return read_in_all_ways(readers, file)


def read_in_all_ways(readers: Sequence[Callable[..., object]], *arguments: Any) -> None:
    """Try every reader; raises the last expected error, or the first other one."""
    refusal = None
    for read in readers:
        try:
            read(*arguments)
        except SegPerceptionError as error:
            refusal = error
            if not is_expected(error):
                break
    if refusal is not None:
        raise refusal


def is_expected(error: BaseException) -> bool:
    """Whether it is an error that names what a user can fix, in one line that is not too long."""
    return isinstance(error, SegPerceptionError) and "\n" not in str(error) and len(str(error)) <= MAX_MESSAGE


def make_compressed_depth(rng: random.Random) -> tuple[str, bytes]:
    """Format and data of compressed depth."""
    depth = np.random.default_rng(rng.randrange(4)).integers(0, 5000, (24, 32), dtype=np.uint16)
    header = struct.pack(
        "<iff", *(rng.choice((0, 1, 2**31 - 1)), *np.float32([number(rng) % 1e38, number(rng) % 1e38]))
    )
    png = cv2.imencode(".png", depth)[1].tobytes()
    data = header + (damaged_png(png, rng) if rng.random() < 0.7 else png)
    if rng.random() < 0.2:
        data = damaged_bytes(data, rng)
    formats = (
        "16UC1; compressedDepth png",
        "32FC1; compressedDepth",
        "16UC1; compressedDepth rvl",
        "bgr8",
        "",
        ";",
        "a\n" * 300,
    )
    return rng.choice(formats), data


def make_raw(rng: random.Random) -> tuple[Any, ...]:
    """Fields of an Image."""
    encoding = rng.choice((*SUPPORTED_ENCODINGS, *DEPTH_ENCODINGS, "", "bayer_rggb8 ", "a\n" * 300))
    height, width = rng.choice((0, 1, 2, 3, 4, 17, 480)), rng.choice((0, 1, 2, 3, 4, 16, 640))
    step = width * rng.choice((1, 2, 3, 4, 6, 8)) + rng.choice((0, 0, 0, 1, -1, 7))
    rows = height * 3 // 2 if encoding.startswith("nv") else height
    size = rows * max(step, 0) + rng.choice((0, 0, 0, 1, -1))
    if rng.random() < 0.1:
        height, width, step = (rng.choice((2**31, 2**32 - 1, 5001, 65536, 10**6)) for _ in range(3))
    return height, width, encoding, rng.random() < 0.5, step, rng.randbytes(max(size, 0))


def read_raw(fields: tuple[Any, ...], folder: Path) -> object:
    """As colour and as depth."""
    return read_in_all_ways((decode_image, decode_depth), *fields)


def make_cloud(rng: random.Random) -> tuple[Any, ...]:
    """Fields of a PointCloud2."""
    names = (
        rng.sample(("x", "y", "z", "intensity", "ring", "", "a\nb", "n" * 3000), 5)
        if rng.random() < 0.3
        else ["x", "y", "z", "rgb"]
    )
    fields = [
        SimpleNamespace(
            name=name,
            offset=rng.choice((4 * index, 4 * index, 4 * index, 0, 3, 2**31, 2**32 - 1)),
            datatype=rng.choice((7, 7, 7, 8, 1, 0, 9, 255)),
            count=rng.choice((1, 1, 1, 0, 2, 2**32 - 1)),
        )
        for index, name in enumerate(names)
    ]
    height, width = rng.choice((0, 1, 1, 4, 2**16, 2**32 - 1)), rng.choice((0, 1, 100, 2**16, 2**32 - 1))
    point_step = rng.choice((16, 16, 12, 32, 0, 3, 2**31, 2**32 - 1))
    row_step = width * point_step if rng.random() < 0.7 else rng.choice((0, 1, 2**31, 2**32 - 1))
    size = min(height * row_step, 100_000) + rng.choice((0, 0, 0, 1, -1))
    return height, width, fields, rng.random() < 0.3, point_step, row_step, rng.randbytes(max(size, 0))


TARGETS: dict[str, Target] = {
    "yaml": Target(shipped_text("config/**/*.yaml"), as_file("some.yaml", load_yaml)),
    "pipeline settings": Target(shipped_text("config/pipeline*.yaml"), as_file("pipeline.yaml", load_settings)),
    "settings in Python": Target(make_settings, use_settings),
    "half-lives": Target(
        lambda rng: damaged_text(f"Person: {number(rng)}\nRoad: 2", rng),
        lambda content, _: GridSettings(
            half_lives=read_half_lives(content.decode("utf-8", "replace").splitlines(), "x")
        ),
    ),
    "model card": Target(shipped_text("models/*.yaml"), as_file("card.yaml", ModelCard.load)),
    "cost matrix": Target(
        shipped_text("config/cost_matrices/*.yaml"), as_file("m.yaml", lambda path: CostMatrix.load(path, classes()))
    ),
    "cost changes": Target(make_changes, change_costs),
    "dataset plan": Target(shipped_text("config/training/*.yaml"), as_file("plan.yaml", load_dataset_plan)),
    "dataset layout": Target(
        shipped_text("seg_perception/datasets/layouts/*.yaml"), as_file("layout.yaml", read_layouts)
    ),
    "point labels": Target(
        lambda rng: damaged_text("x,y,class\n10,20,Road\n3,4,Sky\n", rng),
        as_file("a.csv", lambda path: read_point_labels(path, ("Road", "Sky"), (64, 48))),
    ),
    "camera file": Target(lambda rng: damaged_text(CAMERA, rng), as_file("camera.yaml", use_camera)),
    "camera info": Target(make_camera, use_info),
    "transforms": Target(
        lambda rng: some([0.3, 0.0, 1.2, 0.0, 0.3, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.6, 0.8], rng), use_transforms
    ),
    "jpeg": Target(make_jpeg, read_compressed),
    "png": Target(make_png, read_compressed),
    "other image formats": Target(make_other_image, read_compressed),
    "label files": Target(make_label_file, as_file("label.png", read_label_file)),
    "compressed depth": Target(make_compressed_depth, lambda fields, _: decode_compressed_depth(*fields)),
    "raw images": Target(make_raw, read_raw),
    "point clouds": Target(make_cloud, lambda fields, _: decode_points(*fields)),
}
