"""A class taught from masked pictures: found again in other pictures, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support import tiny_networks as tiny

from seg_perception import cli
from seg_perception.errors import ConfigError, ModelError
from seg_perception.few_shot.examples import Example, image_beside, read_examples
from seg_perception.few_shot.feature_extractor import Sight, learnable_pixels
from seg_perception.few_shot.fit import Pixels, fit_direction, log_sum_exp, prototype
from seg_perception.few_shot.teach import teach
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec, fused_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.precision.convert import in_precision
from seg_perception.inference.prepared_graphs import load_card
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitScaling
from seg_perception.risk.cost_matrix import CostMatrix

GREY, DARK, GREEN = (150, 150, 150), (20, 20, 20), (60, 190, 70)


def two_class_network(softmax: bool = False, opset: int = 17, whole_size: bool = False) -> onnx.ModelProto:
    """Tells dark from bright by the mean colour of 4x4 pixels; its features also hold each colour by itself."""
    rng = np.random.default_rng(4)
    to_colours = np.zeros((6, 3, 4, 4), np.float32)
    for channel in range(3):
        to_colours[channel, channel] = 1 / 16
        to_colours[channel + 3, channel] = -1 / 16
    to_features = np.concatenate([np.eye(6), rng.normal(0, 0.3, (2, 6))]).astype(np.float32).reshape(8, 6, 1, 1)
    brightness = np.array([-2, -2, -2, 2, 2, 2, 0, 0], np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "to_colours"], ["colours"], strides=[4, 4]),
        helper.make_node("Relu", ["colours"], ["detail"]),
        helper.make_node("Conv", ["detail", "to_features"], ["context"]),
        helper.make_node("Concat", ["context", "detail"], ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "reduce"], ["reduced"]),
        helper.make_node("Relu", ["reduced"], ["features"]),
        helper.make_node("Conv", ["features", "classify"], ["scores"], name="classifier"),
    ]
    constants = {
        "to_colours": to_colours,
        "to_features": to_features,
        "reduce": np.eye(8, 14, dtype=np.float32).reshape(8, 14, 1, 1),
        "classify": np.stack([brightness, -brightness]).reshape(2, 8, 1, 1),
    }
    end = "scores"
    if whole_size:
        nodes.append(helper.make_node("Resize", [end, "", "", "sizes"], ["larger"], mode="linear"))
        constants["sizes"] = np.array([1, 2, 48, 64], np.int64)
        end = "larger"
    nodes.append(
        helper.make_node("Softmax" if softmax else "Identity", [end], ["logits"], **({"axis": 1} if softmax else {}))
    )
    graph = helper.make_graph(
        nodes,
        "two classes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 48, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


CARD = replace(
    tiny.card(classes=2),
    classes=("Dark", "Bright"),
    calibration={"fp32": LogitScaling(1.7)},
    measured={"mean_iou": 0.5},
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save(tmp_path, two_class_network(), CARD)


def draw(folder: Path, name: str, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A grey and a dark half with noise, and a green rectangle: the class. Written as name.jpg and name.png."""
    rng = np.random.default_rng(seed)
    image = np.empty((48, 64, 3), np.int64)
    image[:, :32], image[:, 32:] = GREY, DARK
    mask = np.zeros((48, 64), np.bool_)
    x, y = rng.integers(0, 32), rng.integers(0, 24)
    mask[y : y + 20, x : x + 24] = True
    image[mask] = GREEN
    noisy = np.clip(image + rng.integers(-15, 16, image.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / f"{name}.jpg"), noisy[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    cv2.imwrite(str(folder / f"{name}.png"), mask.astype(np.uint8) * 255)
    return noisy, mask


def paths(folder: Path, count: int) -> tuple[list[Path], list[Path]]:
    for index in range(count):
        draw(folder, f"p{index}", index)
    return [folder / f"p{index}.jpg" for index in range(count)], [folder / f"p{index}.png" for index in range(count)]


def scores(model: Path, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[K, h, w] as the network file gives them."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    x = (image.astype(np.float32) / 255 - np.array(tiny.MEAN, np.float32)) / np.array(tiny.STD, np.float32)
    return session.run(None, {session.get_inputs()[0].name: x.transpose(2, 0, 1)[None]})[0][0]


def test_the_engine_finds_a_taught_class_in_a_picture_it_never_saw(tmp_path: Path, model: Path) -> None:
    lesson = teach(model, "Lawn", *paths(tmp_path, 3), tmp_path / "taught.onnx")
    image, mask = draw(tmp_path, "new", 99)
    engine = open_engine(lesson.model, GraphSpec(cells=1))
    costs = np.vstack([1 - np.eye(3), [0, 0, 100]]).astype(np.float32)
    output = engine.run(image[None], costs, np.zeros((1, 1, 2), np.float32))
    found = output.labels[0] == 2
    assert (found & mask).sum() / (found | mask).sum() > 0.8
    assert lesson.total is not None and lesson.total.iou > 0.8


def test_logits_of_the_old_classes_stay_as_they_are_to_the_last_bit(tmp_path: Path, model: Path) -> None:
    before = model.read_bytes()
    lesson = teach(model, "Lawn", *paths(tmp_path, 2), tmp_path / "taught.onnx")
    image, _ = draw(tmp_path, "new", 99)
    np.testing.assert_array_equal(scores(lesson.model, image)[:2], scores(model, image))
    assert model.read_bytes() == before


def test_each_left_out_picture_is_judged_by_the_network_that_the_others_make(tmp_path: Path, model: Path) -> None:
    images, masks = paths(tmp_path, 3)
    lesson = teach(model, "Lawn", images, masks, tmp_path / "all.onnx")
    others = teach(model, "Lawn", images[1:], masks[1:], tmp_path / "without.onnx")
    picture = cv2.cvtColor(cv2.imread(str(images[0])), cv2.COLOR_BGR2RGB)
    full = np.stack([cv2.resize(plane, (64, 48)) for plane in scores(others.model, picture)])
    found, mask = full.argmax(axis=0) == 2, cv2.imread(str(masks[0]), cv2.IMREAD_GRAYSCALE) > 0
    first = lesson.left_out[0]
    assert first.name == "p0.jpg"
    assert first.iou == pytest.approx((found & mask).sum() / (found | mask).sum(), abs=0.02)
    assert first.taken == pytest.approx((found & ~mask).sum() / (~mask).sum(), abs=0.02)


def test_one_picture_teaches_but_leaves_nothing_to_judge_by(tmp_path: Path, model: Path) -> None:
    lesson = teach(model, "Lawn", *paths(tmp_path, 1), tmp_path / "taught.onnx")
    assert lesson.total is None and lesson.left_out == ()
    assert lesson.card.measured["taught"] == {"Lawn": {"pictures": 1}}


def test_the_card_tells_what_was_taught_and_the_temperature_stays(tmp_path: Path, model: Path) -> None:
    lesson = teach(model, "Lawn", *paths(tmp_path, 2), tmp_path / "taught.onnx", (1, 250, 3))
    card = load_card(lesson.model, None)
    assert card.classes == ("Dark", "Bright", "Lawn")
    assert card.colours[-1].tolist() == [1, 250, 3]
    assert card.calibration == CARD.calibration
    assert "Lawn was taught afterwards from 2 masked pictures (p0.jpg, p1.jpg)" in card.training_data
    assert card.measured["before_teaching"] == {"mean_iou": 0.5}
    assert card.measured["taught"]["Lawn"]["iou_left_out"] == pytest.approx(lesson.total.iou, abs=1e-4)


@pytest.mark.parametrize(
    "scaling", [LogitScaling(1.7), LogitScaling(1.7, (0.6, 1.5), (0.2, -0.2))], ids=["one", "vector"]
)
def test_what_is_fitted_is_the_probability_that_the_calibrated_network_gives(scaling: LogitScaling) -> None:
    rng = np.random.default_rng(0)
    logits, new = rng.normal(3, 2, (2, 12, 16)).astype(np.float32), rng.normal(0, 1, (12, 16)).astype(np.float32)
    # Where the new class is the most probable, a vector is applied relative to it; the fit takes the old ones' highest.
    new = np.minimum(new, logits.max(axis=0) - 0.1)
    mask = np.zeros((48, 64), np.bool_)
    mask[8:24, 8:24] = True
    example = Example("a", np.zeros((48, 64, 3), np.uint8), mask)
    pixels = learnable_pixels(Sight(logits, np.arange(192, dtype=np.float32).reshape(1, 12, 16)), example, scaling)
    places = pixels.features[:, 0].astype(int)
    fitted = 1 / (1 + np.exp(pixels.rivals - new.ravel()[places] / scaling.temperature))
    together = np.concatenate([logits, new[None]])
    longer = replace(scaling, scale=(*scaling.scale, 1.0), bias=(*scaling.bias, 0.0)) if scaling.scale else scaling
    calibrated = np.exp(longer.apply(together - together.max(axis=0)).reshape(3, -1)[:, places])
    np.testing.assert_allclose(fitted, calibrated[2] / calibrated.sum(axis=0), rtol=1e-5)
    assert pixels.positive.sum() == 16 and pixels.weight.sum() == 192


def test_the_calibration_of_every_precision_is_carried_on(tmp_path: Path) -> None:
    vector, single = LogitScaling(1.7, (0.6, 1.5), (0.2, -0.2)), LogitScaling(1.3)
    model = tiny.save(tmp_path, two_class_network(), replace(CARD, calibration={"fp32": vector, "int8": single}))
    lesson = teach(model, "Lawn", *paths(tmp_path, 2), tmp_path / "taught.onnx")
    assert lesson.card.calibration == {"fp32": LogitScaling(1.7, (0.6, 1.5, 1.0), (0.2, -0.2, 0.0)), "int8": single}
    assert lesson.total is not None and lesson.total.iou > 0.8


def test_a_cost_matrix_without_the_new_class_is_refused_until_it_has_a_cost(tmp_path: Path, model: Path) -> None:
    card = teach(model, "Lawn", *paths(tmp_path, 1), tmp_path / "taught.onnx").card
    matrix = tmp_path / "costs.yaml"
    text = "misclassification: {default: 1, correct: 0}\ntraverse: {Dark: 0, Bright: 0}\nstanding: []\nignore: []\n"
    matrix.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="has no cost for Lawn"):
        CostMatrix.load(matrix, card.classes)
    matrix.write_text(text.replace("Bright: 0", "Bright: 0, Lawn: 90"), encoding="utf-8")
    assert CostMatrix.load(matrix, card.classes).traverse.tolist() == [0, 0, 90]


def test_a_second_class_can_be_taught_to_a_network_that_was_taught_one(tmp_path: Path, model: Path) -> None:
    images, masks = paths(tmp_path, 2)
    first = teach(model, "Lawn", images, masks, tmp_path / "first.onnx")
    for path in masks:
        grey = np.zeros((48, 64), np.uint8)
        grey[:, :32] = 255
        cv2.imwrite(str(path), np.where(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0, 0, grey))
    second = teach(first.model, "Concrete", images, masks, tmp_path / "second.onnx")
    assert second.card.classes == ("Dark", "Bright", "Lawn", "Concrete")
    assert set(second.card.measured["taught"]) == {"Lawn", "Concrete"}
    image, lawn = draw(tmp_path, "new", 99)
    np.testing.assert_array_equal(scores(second.model, image)[:3], scores(first.model, image))
    label = np.stack([cv2.resize(plane, (64, 48)) for plane in scores(second.model, image)]).argmax(axis=0)
    assert (label[lawn] == 2).mean() > 0.8
    assert (label[:, :28][~lawn[:, :28]] == 3).mean() > 0.8


@pytest.mark.parametrize("variant", [{"softmax": True}, {"opset": 18}, {"whole_size": True}], ids=str)
def test_other_ends_of_networks_can_be_taught_as_well(tmp_path: Path, variant: dict[str, int]) -> None:
    card = replace(CARD, output="probabilities" if "softmax" in variant else "logits")
    model = tiny.save(tmp_path, two_class_network(**variant), card)
    lesson = teach(model, "Lawn", *paths(tmp_path, 2), tmp_path / "taught.onnx")
    image, mask = draw(tmp_path, "new", 99)
    given = scores(lesson.model, image)
    assert given.shape == ((3, 48, 64) if "whole_size" in variant else (3, 12, 16))
    found = np.stack([cv2.resize(plane, (64, 48)) for plane in given]).argmax(axis=0) == 2
    assert (found & mask).sum() / (found | mask).sum() > 0.7


def test_a_taught_network_converts_to_fp16_and_int8(tmp_path: Path, model: Path) -> None:
    lesson = teach(model, "Lawn", *paths(tmp_path, 2), tmp_path / "taught.onnx")
    fused = fused_graph(read_network(lesson.model, lesson.card, 1), lesson.card, GraphSpec(cells=1), stride=4)
    image, _ = draw(tmp_path, "new", 99)
    inputs = {"image": image[None], "costs": np.ones((4, 3), np.float32) - np.eye(4, 3, dtype=np.float32)}
    inputs["cells"] = np.zeros((1, 1, 2), np.float32)

    def labels(graph: onnx.ModelProto) -> NDArray[np.uint8]:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(["labels"], inputs)[0]

    for precision in ("fp16", "int8"):
        converted = in_precision(fused, precision, [image[None]])
        onnx.checker.check_model(converted, full_check=True)
        assert (labels(converted) == labels(fused)).mean() > 0.97


def test_without_a_convolution_at_its_end_a_network_is_refused_in_one_sentence(tmp_path: Path) -> None:
    network = two_class_network()
    network.graph.node[-1].CopyFrom(helper.make_node("Sigmoid", ["scores"], ["logits"]))
    model = tiny.save(tmp_path, network, CARD)
    with pytest.raises(ModelError, match=r"come from the operator Sigmoid .* give the network in fp32, without"):
        teach(model, "Lawn", *paths(tmp_path, 1), tmp_path / "taught.onnx")
    assert not (tmp_path / "taught.onnx").exists()


def test_features_of_another_resolution_than_the_logits_are_refused(tmp_path: Path) -> None:
    network = two_class_network()
    network.graph.node[-2].attribute.append(helper.make_attribute("strides", [2, 2]))
    model = tiny.save(tmp_path, network, CARD)
    with pytest.raises(ModelError, match="its classifier changes the resolution"):
        teach(model, "Lawn", *paths(tmp_path, 1), tmp_path / "taught.onnx")


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros((48, 64), np.uint8), "marks nothing"),
        (np.full((48, 64), 1, np.uint8), "marks everything"),
        (np.pad(np.full((1, 1), 255, np.uint8), ((0, 47), (0, 63))), "too thin for the network, which sees 16x12"),
        (None, "is not an image that can be decoded"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(
    tmp_path: Path, model: Path, mask: NDArray[np.uint8] | None, sentence: str
) -> None:
    images, masks = paths(tmp_path, 2)
    if mask is None:
        masks[1].write_bytes(b"no image")
    else:
        cv2.imwrite(str(masks[1]), mask)
    with pytest.raises(ConfigError, match=rf"p1.*{sentence}"):
        teach(model, "Lawn", images, masks, tmp_path / "taught.onnx")


def test_a_class_that_is_there_a_colour_that_is_taken_and_a_file_that_exists_are_refused(
    tmp_path: Path, model: Path
) -> None:
    given = paths(tmp_path, 1)
    with pytest.raises(ConfigError, match="'Dark' is a class of 'tiny' already"):
        teach(model, "Dark", *given, tmp_path / "taught.onnx")
    with pytest.raises(ConfigError, match="the colour 3 4 5 belongs to another class"):
        teach(model, "Lawn", *given, tmp_path / "taught.onnx", (3, 4, 5))
    with pytest.raises(ConfigError, match="exists already; name another file with --out"):
        teach(model, "Lawn", *given, model)


def test_masks_may_have_any_size_and_colour_and_an_opaque_alpha_channel(tmp_path: Path) -> None:
    _, mask = draw(tmp_path, "p", 0)
    drawn = np.zeros((96, 128, 4), np.uint8)
    drawn[..., 2] = cv2.resize(mask.astype(np.uint8) * 200, (128, 96), interpolation=cv2.INTER_NEAREST)
    drawn[..., 3] = 255
    cv2.imwrite(str(tmp_path / "p.png"), drawn)
    (example,) = read_examples([tmp_path / "p.jpg"], [tmp_path / "p.png"], CARD)
    np.testing.assert_array_equal(example.mask, mask)


def test_the_image_of_a_mask_is_the_one_of_its_name_beside_it(tmp_path: Path) -> None:
    draw(tmp_path, "p", 0)
    assert image_beside(tmp_path / "p.png") == tmp_path / "p.jpg"
    with pytest.raises(ConfigError, match=r"no image of the same name beside it; name the images with --images"):
        image_beside(tmp_path / "q.png")
    with pytest.raises(ConfigError, match="there are 1 images and 2 masks"):
        read_examples([tmp_path / "p.jpg"], [tmp_path / "p.png"] * 2, CARD)


def random_pixels(seed: int, count: int = 400) -> Pixels:
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (count, 5)) + np.array([1, 0, 0, 0, 0.0])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    rivals = rng.normal(0, 1, count)
    score = features @ np.array([3.0, 2.0, -1.0, 0.0, 1.0]) - 2 - rivals
    return Pixels(features, rivals, rng.random(count) < 1 / (1 + np.exp(-score)), rng.uniform(0.5, 2, count))


def test_the_fit_is_the_minimum_of_the_loss_that_its_module_states() -> None:
    pixels, penalty = random_pixels(0), 1e-3
    along = prototype([pixels])
    share = pixels.weight[pixels.positive].sum() / pixels.weight.sum()
    balance = np.where(pixels.positive, np.sqrt(max(1 - share, share) / share), 1) * pixels.weight

    def loss(weights: NDArray[np.float64], bias: float) -> float:
        p = 1 / (1 + np.exp(pixels.rivals - pixels.features @ weights - bias))
        likelihood = np.where(pixels.positive, p, 1 - p)
        across = weights - along * (along @ weights)
        return -float(np.average(np.log(likelihood), weights=balance)) + penalty / 2 * float(across @ across)

    found = fit_direction([pixels], penalty)
    best = loss(found.weights, found.bias)
    rng = np.random.default_rng(1)
    for size in (0.03, 0.3, 3.0):
        for _ in range(50):
            step = rng.normal(0, size, 6)
            assert loss(found.weights + step[:5], found.bias + step[5]) > best - 1e-7


def test_a_large_penalty_leaves_nothing_but_the_cosine_to_the_prototype() -> None:
    pictures = [random_pixels(seed) for seed in (2, 3)]
    found = fit_direction(pictures, penalty=1e4)
    means = np.mean([p.features[p.positive].mean(axis=0) for p in pictures], axis=0)
    assert found.weights @ means / np.linalg.norm(found.weights) / np.linalg.norm(means) > 0.99999


def test_log_sum_exp_is_exact_where_exponentials_overflow() -> None:
    values = np.array([[1000.0, 0.0], [1000.0, 0.0]], np.float32)
    np.testing.assert_allclose(log_sum_exp(values), [1000 + np.log(2), np.log(2)])


def test_the_command_teaches_and_says_how_well_and_what_to_add(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, masks = paths(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    command = ["teach", "--class", "Lawn", "--model", str(model), "--masks", *map(str, masks)]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "on pictures left out: IoU" in said and "add 'Lawn: COST' to 'traverse'" in said
    assert ModelCard.load(tmp_path / "tiny_Lawn.yaml").classes[-1] == "Lawn"
    assert cli.main(command) == 2


def test_the_shipped_network_learns_a_class_of_real_pictures_that_were_left_out(
    tmp_path: Path, real_data: Path
) -> None:
    from seg_perception.utils.package_files import find

    images, masks = [], []
    for name in ("0001TP_006690", "0016E5_04620"):
        label = cv2.imread(str(real_data / "camvid/train/labels" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        masks.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(masks[-1]), (label == 4).astype(np.uint8))
        images.append(real_data / "camvid/train/images" / f"{name}.jpg")
    lesson = teach(find("models/urban.onnx"), "Cobbles", images, masks, tmp_path / "taught.onnx")
    assert lesson.total is not None
    assert lesson.total.iou > 0.7
    assert lesson.total.taken < 0.02
