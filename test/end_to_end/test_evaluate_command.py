"""seg-perception evaluate network from the command line to the page, on images with known metrics, and on real ones."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support import tiny_networks as tiny

from seg_perception.cli.__main__ import main
from seg_perception.evaluation.network.evaluator import EvaluationRequest, NetworkEvaluator
from seg_perception.evaluation.network.metrics import EvaluatedImage, ImageScore
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import UNCALIBRATED
from seg_perception.report.evaluation_page import errors
from seg_perception.training.calibration.calibrate_model import calibrate_model
from seg_perception.utils.package_files import find

COLOURS = {"Red": [255, 0, 0], "Car": [0, 255, 0], "</script><b>Blue": [0, 0, 255]}
BLUE = "</script><b>Blue"
MATRIX = {
    "misclassification": {"default": 1, "correct": 0, "Red": {"Car": 20}},
    "traverse": {"Red": 0, "Car": 2540, BLUE: 100},
    "standing": ["Car"],
    "ignore": [],
}


def plan(datasets: dict[str, Any], classes: dict[str, list[int]], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "training_data": "toy",
        "licence": "none",
        "classes": classes,
        "input": {"width": size[0], "height": size[1]},
        "train": datasets,
        "validation": datasets,
        "settings": {
            **{"epochs": 1, "batch": 2, "crop": [48, 48], "learning_rate": 0.001, "weight_decay": 0.0, "seed": 1},
            "losses": {"cross_entropy": 1.0},
        },
    }


def stripes(seed: int) -> np.ndarray:
    """uint8 [48, 64]: stripes of 16 columns, aligned to the logits of `tiny.colour_network`, which finds them all."""
    return np.kron(np.random.default_rng(seed).integers(0, 3, 4), np.ones((48, 16), int)).astype(np.uint8)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan, matrix and a network that finds classes by colour; the left half of the labels of 2.png is wrong."""
    folder = tmp_path_factory.mktemp("toy")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(4):
        label = stripes(number)
        image = np.array(list(COLOURS.values()), np.uint8)[label]
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image[..., ::-1])
        if number == 2:
            label[:, :32] = (label[:, :32] + 1) % 3
        label[0] = 9
        cv2.imwrite(str(folder / "labels" / f"{number}.png"), label)
    values = {**dict(enumerate(COLOURS)), 9: "ignore"}
    dataset = {"toy": {"images": "images", "labels": "labels", "values": values}}
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan(dataset, COLOURS, (64, 48)), sort_keys=False), "utf-8")
    (folder / "matrix.yaml").write_text(yaml.safe_dump(MATRIX, sort_keys=False), "utf-8")
    card = replace(tiny.card(3), classes=tuple(COLOURS), colours=np.array(list(COLOURS.values()), np.uint8))
    tiny.save(folder, tiny.colour_network(), card)
    return folder


def run(toy: Path, out: Path, *options: str) -> int:
    arguments = [
        "evaluate",
        "network",
        str(toy / "plan.yaml"),
        str(toy / "tiny.onnx"),
        "--matrix",
        str(toy / "matrix.yaml"),
    ]
    return main([*arguments, "--out", str(out), *options])


@pytest.fixture(scope="module")
def out(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "deeper"
    assert run(toy, folder, "--worst", "2", "--boundary-tolerance", "2") == 0
    return folder


@pytest.fixture(scope="module")
def summary(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return content


def test_the_metrics_are_those_of_the_known_label_errors(summary: dict[str, Any]) -> None:
    assert summary["scores"][0]["name"] == "toy/2.png"
    assert [score["accuracy"] for score in summary["scores"]] == pytest.approx([0.5, 1.0, 1.0, 1.0])
    assert summary["pixel_accuracy"] == pytest.approx(1 - 1 / 8)
    ground_truth = np.stack([stripes(number) for number in range(4)])
    predictions = ground_truth.copy()
    ground_truth[2][:, :32] = (ground_truth[2][:, :32] + 1) % 3
    ground_truth[:, 0] = 255
    for number, name in enumerate(COLOURS):
        true, predicted = ground_truth == number, (predictions == number) & (ground_truth != 255)
        assert summary["labels"][name]["iou"] == pytest.approx((true & predicted).sum() / (true | predicted).sum())
        assert summary["labels"][name]["pixels"] == true.sum()


def test_the_summary_names_model_data_and_settings(summary: dict[str, Any], toy: Path) -> None:
    assert (summary["model"], summary["data"]) == ("tiny", "toy (4 images)")
    assert summary["panoptic"]["things"] == ["Car"], "by its name"
    assert summary["boundary_f"]["tolerance"] == "2 px"
    assert summary["command"].startswith("seg-perception evaluate network") and "numpy" in summary["versions"]
    assert {len(digest) for digest in summary["hashes"].values()} == {64}


def test_the_training_images_need_not_be_there(toy: Path, tmp_path: Path) -> None:
    for file in ("tiny.onnx", "tiny.yaml", "matrix.yaml", "images", "labels"):
        (tmp_path / file).symlink_to(toy / file)
    content = yaml.safe_load((toy / "plan.yaml").read_text("utf-8"))
    elsewhere = {"images": "elsewhere/images", "labels": "elsewhere/labels"}
    content["train"] = {"toy": {**content["train"]["toy"], **elsewhere}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    assert run(tmp_path, tmp_path / "out") == 0


def test_things_can_be_named(toy: Path, tmp_path: Path) -> None:
    assert run(toy, tmp_path, "--things", "Red", "Car") == 0
    assert json.loads((tmp_path / "evaluation.json").read_text("utf-8"))["panoptic"]["things"] == ["Red", "Car"]


def test_the_table_goes_to_the_terminal(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(toy, tmp_path) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^Car +0\.\d{3} ", printed, re.M)
    assert "pixel accuracy 87.50%" in printed and "0.75 % of the diagonal" in printed
    assert str(tmp_path / "evaluation.html") in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--things", "car"], "--things car: is no class of the model (did you mean 'Car'?)"),
        (["--data", "nowhere"], "is not a folder"),
        (["--matrix", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_mistakes_are_one_sentence(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert run(toy, tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("seg-perception: ") and sentence in error and len(error.strip().splitlines()) == 1


def test_a_model_of_other_classes_is_refused(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.save(tmp_path, tiny.colour_network(), tiny.card(3))
    assert (
        main(["evaluate", "network", str(toy / "plan.yaml"), str(tmp_path / "tiny.onnx"), "--out", str(tmp_path)]) == 2
    )
    assert "its classes are not those of" in capsys.readouterr().err


def test_a_folder_that_cannot_be_created_is_reported_before_anything_runs(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy, toy / "plan.yaml" / "out") == 2
    assert "choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize("tolerance", ["three", "-1", "nan", "5%%"])
def test_a_tolerance_is_pixels_or_percent(
    toy: Path, tmp_path: Path, tolerance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(toy, tmp_path, f"--boundary-tolerance={tolerance}")
    assert "must be pixels such as 3, or a share of the diagonal such as 0.75%" in capsys.readouterr().err


class Page(HTMLParser):
    """What a page refers to, and its blocks of script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and value:
                self.links.append(value)
            if name == "id" and value:
                self.ids.add(value)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)


def decoded_image(url: str) -> np.ndarray:
    header, text = url.split(",")
    assert header == "data:image/webp;base64"
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR))[..., ::-1]


def test_the_page_needs_no_other_file_and_its_script_finds_all_it_writes_to(out: Path) -> None:
    page = Page(out / "evaluation.html")
    assert page.links == [], "nothing is loaded"
    assert page.tags.count("script") == 2, "text from outside never becomes markup"
    assert set(re.findall(r"(?:byId|fillTable)\('([\w-]+)'", page.scripts[1])) <= page.ids


def test_the_page_holds_the_figures_and_the_worst_images_as_they_are(out: Path, summary: dict[str, Any]) -> None:
    content = json.loads(Page(out / "evaluation.html").scripts[0])
    assert content["summary"] == summary
    assert [entry["name"] for entry in content["images"]] == [score["name"] for score in summary["scores"][:2]]
    _, ground_truth, label, decision, *_ = map(decoded_image, content["images"][0]["views"])
    palette = np.array(list(COLOURS.values()), np.uint8)
    np.testing.assert_array_equal(label, palette[stripes(2)])
    assert (ground_truth[0] == 0).all(), "black where nothing is labelled"
    np.testing.assert_array_equal((ground_truth != label).any(axis=2)[1:], np.arange(64)[None].repeat(47, axis=0) < 32)
    np.testing.assert_array_equal(decision, label)  # so confident that no cost changes it


def test_errors_are_the_redder_the_more_confident_the_network_is() -> None:
    ground_truth, label = np.array([[0, 0, 0, 255]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)
    image = np.full((1, 4, 3), 100, np.uint8)
    confidence = np.array([[255, 100, 255, 255]], np.uint8)
    right, unsure, confident, unlabelled = errors(
        EvaluatedImage(ImageScore("x", 0.0, 0.0, 0.0), image, ground_truth, label, label, confidence)
    )[0].astype(int)
    assert right[0] == right[1] == right[2] < 100
    assert confident[0] > unsure[0] > 2 * unsure[1]
    assert (unlabelled == 0).all()


def test_the_page_works_in_a_browser(chromium: Any, out: Path, summary: dict[str, Any]) -> None:
    chromium.get((out / "evaluation.html").as_uri())
    shown = chromium.find_element("tag name", "body").text
    assert chromium.get_log("browser") == []
    assert "evaluated on toy (4 images)" in shown
    assert f"{summary['mean_iou']:.3f}" in shown
    assert BLUE in shown and "toy/2.png: IoU" in shown
    assert len(chromium.find_elements("css selector", "#confusion td")) == 9
    assert len(chromium.find_elements("css selector", "#reliability .right")) >= 1
    assert chromium.execute_script("return [...document.images].every((image) => image.naturalWidth === 64)")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        assert chromium.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="module")
def street(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four real images of the validation split and a copy of the shipped network, with a plan for both."""
    folder = tmp_path_factory.mktemp("street")
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
        for path in sorted((real_data / "camvid/val" / kind).iterdir())[::30]:
            shutil.copy(path, folder / kind)
    for suffix in (".onnx", ".yaml"):
        shutil.copy(find(f"models/urban{suffix}"), folder)
    urban = yaml.safe_load(find("config/training/urban.yaml").read_text("utf-8"))
    dataset = {"camvid": {"images": "images", "labels": "labels", "values": urban["train"]["camvid"]["values"]}}
    content = plan(dataset, urban["classes"], (480, 360))
    (folder / "plan.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return folder


@pytest.fixture(scope="module")
def real_summary(street: Path) -> dict[str, Any]:
    request = EvaluationRequest(street / "plan.yaml", street / "urban.onnx", find("config/cost_matrices/road_car.yaml"))
    evaluator = NetworkEvaluator(request)
    return evaluator.summary(evaluator.run())


def test_on_real_images_iou_and_ece_agree_with_calibration(street: Path, tmp_path: Path) -> None:
    shutil.copytree(street, tmp_path, dirs_exist_ok=True)
    model = tmp_path / "urban.onnx"
    before = calibrate_model(tmp_path / "plan.yaml", None, model, ["fp32"])["fp32"].before
    card = ModelCard.load(model.with_suffix(".yaml"))
    replace(card, calibration={"fp32": UNCALIBRATED}).write(model.with_suffix(".yaml"))
    evaluator = NetworkEvaluator(
        EvaluationRequest(tmp_path / "plan.yaml", model, find("config/cost_matrices/road_car.yaml"))
    )
    summary = evaluator.summary(evaluator.run())
    assert [of["iou"] for of in summary["labels"].values()] == pytest.approx(before.iou().tolist(), abs=2e-4)
    assert summary["calibration"]["ece"] == pytest.approx(before.ece(), abs=2e-4)
    assert summary["labels"].keys() >= {"Road", "Tree|Grass"}


def test_on_real_images_the_bayes_decision_costs_less_and_about_what_is_expected(real_summary: dict[str, Any]) -> None:
    risk = real_summary["risk"]
    assert risk["bayes"] < 0.9 * risk["most_probable"]
    assert risk["expected"] == pytest.approx(risk["bayes"], rel=0.5)
    assert real_summary["labels"]["Car"]["cost_bayes"] < real_summary["labels"]["Car"]["cost_most_probable"]
    assert real_summary["calibration"]["ece"] < 0.03
