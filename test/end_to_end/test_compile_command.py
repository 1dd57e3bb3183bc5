"""seg-perception compile: real plans of the shipped network, built with TensorRT-RTX, which needs no GPU to build."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from support import fake_gpu
from support import tiny_networks as tiny

from seg_perception.cli.__main__ import main
from seg_perception.evaluation.network.precision_parity import MIN_LABELS_KEPT
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.inference.tensorrt.api import find_tensorrt
from seg_perception.inference.tensorrt.plan import graph_sha256, manifest_path, read_plan
from seg_perception.inference.tensorrt.plan_cache import PlanCache
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.utils.package_files import find

MODEL = find("models/urban.onnx")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEG_PERCEPTION_CACHE", str(tmp_path / "cache"))


def write_images(folder: Path, count: int = 4, size: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        noise = np.random.default_rng(index).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(noise, size, interpolation=cv2.INTER_NEAREST))
    return folder


def link_real_images(real_data: Path, folder: Path, count: int) -> Path:
    folder.mkdir()
    files = sorted((real_data / "camvid/train/images").iterdir())
    for path in files[:: len(files) // count][:count]:
        (folder / path.name).symlink_to(path)
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compile", *map(str, arguments)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("seg-perception: ")
    return error


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_shipped_network_becomes_a_real_plan_in_every_precision(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    tensorrt = pytest.importorskip("tensorrt_rtx", reason="the TensorRT-RTX builder is not installed")
    images = link_real_images(real_data, tmp_path / "images", 6)
    assert main(["compile", str(MODEL), "--precision", precision, "--calibration", str(images)]) == 0
    out = capsys.readouterr().out
    ((path, manifest),) = PlanCache().plans()
    plan = read_plan(path)
    with capsys.disabled():
        print(f"\n{precision}: plan of {len(plan.content) / 1e6:.1f} MB, built in {manifest.build_seconds:.2f} s")
    assert str(path) in out and str(manifest_path(path)) in out
    assert manifest.target.flavour == "tensorrt_rtx" and manifest.target.version == tensorrt.__version__
    assert manifest.source.precision == precision and manifest.source.model_sha256[:12] in MODEL.with_suffix(
        ".yaml"
    ).read_text(encoding="utf-8")
    if precision == "fp32":
        assert manifest.precision_parity is None
    else:
        assert manifest.precision_parity is not None and manifest.precision_parity["images"] == 6
        assert manifest.precision_parity["labels_kept"] >= MIN_LABELS_KEPT[precision]  # type: ignore[index]
        assert "labels kept" in out
    graph = onnx.load(path.with_name(path.name + ".onnx"))
    assert graph_sha256(graph) == manifest.converted_sha256
    network, *_alive = parsed(tensorrt, graph)
    found = {
        each.name: [str(each.dtype).split(".")[-1], list(each.shape)]
        for each in [network.get_input(i) for i in range(network.num_inputs)]
        + [network.get_output(i) for i in range(network.num_outputs)]
    }
    kinds = {"uint8": "UINT8", "float32": "FLOAT"}
    described = {**manifest.inputs, **manifest.outputs}
    assert found == {name: [kinds[kind], shape] for name, (kind, shape) in described.items()}
    assert convolution_types(tensorrt, network) == {
        "fp32": {("FLOAT", "FLOAT")}, "fp16": {("HALF", "HALF")}, "int8": {("DEQUANTIZE", "DEQUANTIZE")}
    }[precision]  # fmt: skip
    assert softmax_types(tensorrt, network) == {"FLOAT"}


def parsed(tensorrt: Any, graph: onnx.ModelProto) -> tuple[Any, ...]:
    """The network definition, and the objects that must outlive it."""
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    assert parser.parse(graph.SerializeToString())
    return network, builder, parser


def convolution_types(tensorrt: Any, network: Any) -> set[tuple[str, str]]:
    """Input types of every convolution (data, weights), or the layers they come from."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    makers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    found: Counter[tuple[str, str]] = Counter()
    for layer in layers:
        if layer.type == tensorrt.LayerType.CONVOLUTION:
            sides = []
            for tensor in (layer.get_input(0), layer.get_input(1)):
                maker = None if tensor is None else makers.get(tensor.name)
                is_open = maker is not None and maker.type == tensorrt.LayerType.DEQUANTIZE
                sides.append("DEQUANTIZE" if is_open else str(layer.get_output(0).dtype).split(".")[-1])
            found[sides[0], sides[1]] += 1
    assert found.total() > 20
    return set(found)


def softmax_types(tensorrt: Any, network: Any) -> set[str]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return {
        str(layer.get_output(0).dtype).split(".")[-1] for layer in layers if layer.type == tensorrt.LayerType.SOFTMAX
    }


def test_the_node_finds_the_plan_that_compile_has_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, tensorrt = fake_gpu.install(monkeypatch)
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    images = write_images(tmp_path / "images")
    for precision in ("fp32", "fp16", "int8"):
        built = tensorrt.built
        assert main(["compile", str(model), "--precision", precision, "--calibration", str(images)]) == 0
        assert "on Orin (compute capability 8.7)" in capsys.readouterr().out
        spec = graph_spec(PipelineSettings(), logits=True)
        engine = open_engine(model, spec, backend="tensorrt", precision=precision)  # type: ignore[arg-type]
        assert tensorrt.built == built + 1
        assert engine.time_network()[0] > 0
        engine.close()


def test_out_writes_a_plan_that_runs_without_the_network_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpu.install(monkeypatch)
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    out = tmp_path / "carried" / "tiny.plan"
    settings = tmp_path / "settings.yaml"
    settings.write_text("ground: {max_samples: 500}\n", encoding="utf-8")
    assert main(["compile", str(model), "--precision", "fp32", "--out", str(out), "--config", str(settings)]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "tiny.plan", "tiny.plan.json", "tiny.plan.onnx", "tiny.yaml"
    ]  # fmt: skip
    model.unlink()
    spec = GraphSpec(sample_points=500, image_order="bgr", logits=True)
    assert open_engine(out, spec).card.name == "tiny"
    assert PlanCache().plans() == []


def test_a_broken_parity_limit_is_refused_without_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_gpu.install(monkeypatch)
    model = tiny.save(tmp_path, tiny.network(gain=0.02), tiny.card())
    dark, images = tmp_path / "dark", write_images(tmp_path / "images")
    dark.mkdir()
    cv2.imwrite(str(dark / "0.png"), np.full((48, 64, 3), 118, np.uint8))
    command = [model, "--precision", "int8", "--calibration", dark, "--check", images]
    error = refusal(capsys, *command)
    assert "int8 keeps only" in error and "but must keep 97%" in error and error.endswith("builds it all the same.")
    assert PlanCache().plans() == []
    assert main(["compile", *map(str, command), "--anyway"]) == 0
    ((_, manifest),) = PlanCache().plans()
    assert manifest.precision_parity is not None and manifest.precision_parity["labels_kept"] < 0.97


def test_labelled_images_give_the_change_of_mean_iou(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_gpu.install(monkeypatch)
    data = tmp_path / "data"
    for split, part in (("train", "images"), ("train", "labels"), ("val", "images"), ("val", "labels")):
        folder = data / "camvid" / split / part
        folder.mkdir(parents=True)
        for path in sorted((real_data / "camvid" / split / part).iterdir())[:3]:
            (folder / path.name).symlink_to(path)
    for part in ("images", "labels"):
        (data / "rendered").mkdir(exist_ok=True)
        (data / "rendered" / part).symlink_to(data / "camvid/train" / part)
    plan = find("config/training/urban.yaml")
    assert main(["compile", str(MODEL), "--precision", "fp16", "--check", str(plan), "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert "mean IoU, points lost" in out
    ((_, manifest),) = PlanCache().plans()
    assert manifest.precision_parity is not None
    assert manifest.precision_parity["images"] == 3 and 0.4 < manifest.precision_parity["reference_iou"] < 0.9
    assert abs(manifest.precision_parity["reference_iou"] - manifest.precision_parity["converted_iou"]) < 0.002


def test_the_int8_network_for_the_cpu_opens_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny.save(tmp_path, tiny.network(gain=6.0), tiny.card())
    images = write_images(tmp_path / "images", 8)
    out = tmp_path / "small" / "tiny_int8.onnx"
    command = ["compile", str(model), "--precision", "int8", "--target", "cpu", "--calibration", str(images)]
    assert main([*command, "--out", str(out)]) == 0
    assert "times as fast as fp32" in capsys.readouterr().out
    spec = GraphSpec(sample_points=1)
    before, after = (open_engine(path, spec, backend="onnx_cpu") for path in (model, out))
    assert after.card.name == "tiny_int8" and after.card.measured["labels_kept_of_fp32"] >= 0.97
    image = cv2.imread(str(images / "0.png"))[None, :, :, ::-1].copy()
    costs, sample_points = np.vstack([1 - np.eye(5), np.zeros(5)]).astype(np.float32), np.zeros((1, 1, 2), np.float32)
    labels = [engine.run(image, costs, sample_points).labels for engine in (before, after)]
    assert (labels[0] == labels[1]).mean() > 0.95


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--precision", "fp16"], "fp16 must be compared with fp32 on images of the robot's camera; name their folder"),
        (["--precision", "int8"], "int8 needs calibration images to know the range of every layer"),
        (["--precision", "int8", "--calibration", "gone"], "gone: is not a folder; give one that holds images."),
        (["--precision", "int8", "--calibration", "empty"], "empty: holds no image (.jpg, "),
        (["--precision", "fp16", "--check", "broken"], "broken/0.png: "),
        (["--precision", "fp32", "--out", "urban.engine"], "--out urban.engine: a plan's name must end in .plan"),
        (["--target", "cpu"], "--target cpu writes an int8 network: give --precision int8 and --out FILE.onnx."),
        (["--precision", "fp32", "--card", "gone.yaml"], "its model card gone.yaml is missing"),
        (["--precision", "fp32", "--target", "tensorrt_rtx"], "TensorRT-RTX is not installed."),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    fake_gpu.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/0.png").write_bytes(b"not a picture")
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    assert sentence in refusal(capsys, model, *arguments)
    assert PlanCache().plans() == []


def test_tensorrt_compiles_on_the_robot_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda, _ = fake_gpu.install(monkeypatch)
    cuda.failing["cudaSetDevice"] = fake_gpu.Status.cudaErrorNoDevice
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    error = refusal(capsys, model, "--precision", "fp32")
    assert "TensorRT 10.3.0 builds plans only on the GPU that will run them; compile on the robot." in error


def test_without_any_tensorrt_the_error_names_the_fixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_gpu.install(monkeypatch, flavour=None)
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    error = refusal(capsys, model, "--precision", "fp32")
    assert "TensorRT is not installed. TensorRT-RTX is not installed. Install one, or write an int8 network" in error


def test_ctrl_c_cancels_a_real_build_cleanly(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="the TensorRT-RTX builder is not installed")
    card, spec = load_card(MODEL, None), GraphSpec(sample_points=100)
    graph = prepare_graphs(MODEL, card, spec).fused
    shares: list[float] = []

    def press(share: float) -> None:
        shares.append(share)
        if len(shares) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        find_tensorrt("tensorrt_rtx").build(graph, press)
    assert max(shares) < 0.1, "it stops soon"
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_manifest_is_readable_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpu.install(monkeypatch)
    model = tiny.save(tmp_path, tiny.network(), tiny.card())
    out = tmp_path / "tiny.plan"
    assert main(["compile", str(model), "--precision", "fp32", "--out", str(out)]) == 0
    content = json.loads(manifest_path(out).read_text(encoding="utf-8"))
    assert {
        "format",
        "source",
        "target",
        "spec",
        "inputs",
        "outputs",
        "build_seconds",
        "precision_parity",
    } < content.keys()
    # A plan next to the network uses the card of the network; it is not overwritten.
    assert (tmp_path / "tiny.yaml").read_text(encoding="utf-8").count("sha256") == 1
