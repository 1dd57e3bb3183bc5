"""seg-perception card: write a card for an ONNX file, and open the network with it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper
from support import tiny_networks as tiny

from seg_perception.cli.__main__ import main
from seg_perception.inference.backends import open_engine
from seg_perception.inference.card_template import distinct_colours
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import ModelCard
from seg_perception.risk.cost_matrix import CostMatrix

CLASSES = ["Road", "Pavement", "Grass", "Wall", "Person"]


def saved(folder: Path, network: onnx.ModelProto) -> Path:
    path = folder / "mine.onnx"
    onnx.save(network, path)
    return path


def card(path: Path, *options: str) -> int:
    return main(["card", str(path), *options])


def test_a_card_is_written_that_opens_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, tiny.network())
    assert card(path, "--classes", *CLASSES, "--training-data", "my yard", "--licence", "mine") == 0
    written = tmp_path / "mine.yaml"
    printed = capsys.readouterr().out
    assert str(written) in printed and "64x48, 5 classes, logits at 1/4" in printed and f"--model {path}" in printed
    opened = open_engine(path, GraphSpec(sample_points=1)).card
    assert opened.classes == tuple(CLASSES) and (opened.width, opened.height) == (64, 48)
    assert (opened.output, opened.training_data, opened.licence) == ("logits", "my yard", "mine")
    np.testing.assert_allclose(opened.mean, tiny.MEAN)
    np.testing.assert_allclose(opened.std, tiny.STD)


def test_probabilities_are_detected_by_running_the_network(tmp_path: Path) -> None:
    softmax = [helper.make_node("Softmax", ["scores"], ["logits"], axis=1)]
    path = saved(tmp_path, tiny.network(tail=softmax))
    assert card(path, "--classes", *CLASSES) == 0
    assert ModelCard.load(tmp_path / "mine.yaml").output == "probabilities"


def test_options_fill_in_what_the_file_leaves_open(tmp_path: Path) -> None:
    network = tiny.network(width="W", height="H", batch="N")
    network.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))
    (tmp_path / "names.txt").write_text("\n".join([*CLASSES, ""]), encoding="utf-8")
    options = ["--classes", str(tmp_path / "names.txt"), "--size", "96x32", "--channel-order", "bgr"]
    options += ["--mean", "0", "0", "0", "--std", "1", "1", "1", "--output-name", "scores"]
    path, out = saved(tmp_path, network), tmp_path / "other.yaml"
    assert card(path, *options, "--out", str(out)) == 0
    opened = open_engine(path, GraphSpec(sample_points=1), card=out).card
    assert (opened.width, opened.height, opened.channel_order) == (96, 32, "bgr")
    assert (opened.mean, opened.std, opened.output_name) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "scores")
    assert opened.classes == tuple(CLASSES)


def test_the_size_of_a_channels_last_network_is_read(tmp_path: Path) -> None:
    network = tiny.network()
    network.graph.input[0].CopyFrom(helper.make_tensor_value_info("last", TensorProto.FLOAT, [1, 48, 64, 3]))
    network.graph.node.insert(0, helper.make_node("Transpose", ["last"], ["image"], perm=[0, 3, 1, 2]))
    path = saved(tmp_path, network)
    assert card(path, "--classes", *CLASSES) == 0
    assert open_engine(path, GraphSpec(sample_points=1)).card.width == 64


@pytest.mark.parametrize(
    ("network", "options", "sentence"),
    [
        (tiny.network(), CLASSES[:4], "gives 5 scores at each pixel .* names 4 classes"),
        (tiny.network(), [*CLASSES, "--size", "128x96"], "takes images of 64x48 pixels"),
        (tiny.network(), [*CLASSES, "--mean", "123", "116", "104"], "'input.mean': holds 123.*divide by 255"),
        (tiny.network(), ["Road", "Road", "a", "b", "c"], "'Road' is listed twice"),
        (tiny.network(width="W"), CLASSES, "takes images of any size; .*--size 640x480"),
    ],
)
def test_a_network_that_does_not_fit_is_one_sentence_and_leaves_no_card(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: onnx.ModelProto,
    options: list[str],
    sentence: str,
) -> None:
    assert card(saved(tmp_path, network), "--classes", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"seg-perception: {tmp_path}") and error.count("\n") == 1
    assert re.search(sentence, error), error
    assert not (tmp_path / "mine.yaml").exists()


def test_an_existing_card_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny.save(tmp_path, tiny.network(), tiny.card())
    before = path.with_suffix(".yaml").read_bytes()
    assert card(path, "--classes", *CLASSES) == 2
    assert "exists already; remove it" in capsys.readouterr().err
    assert path.with_suffix(".yaml").read_bytes() == before


def test_an_invalid_size_is_a_command_line_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size in ("640", "640x0", "wide x high"):
        with pytest.raises(SystemExit):
            card(tmp_path / "mine.onnx", "--classes", "a", "b", "--size", size)
        assert "argument --size: must be" in capsys.readouterr().err


def test_the_card_and_the_cost_matrix_of_the_networks_page_are_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how_to" / "networks.md").read_text(encoding="utf-8")
    own, matrix = re.findall("```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my.yaml").write_text(own, encoding="utf-8")
    assert ModelCard.load(tmp_path / "my.yaml").classes == tuple(CLASSES)
    (tmp_path / "cityscapes.yaml").write_text(matrix, encoding="utf-8")
    names = yaml.safe_load(matrix)["traverse"]
    assert len(names) == 19
    assert CostMatrix.load(tmp_path / "cityscapes.yaml", tuple(names)).traverse.max() > 254


@pytest.mark.parametrize("count", [2, 19, 150, 254])
def test_every_class_gets_a_colour_of_its_own(count: int) -> None:
    colours = distinct_colours(count)
    assert colours.shape == (count, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == count
