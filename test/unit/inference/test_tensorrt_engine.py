"""The TensorRT engine on a fake GPU (`fake_gpu`): everything but the arithmetic of a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import fake_gpu
from support import tiny_networks as tiny
from support.fake_gpu import FakeCuda, FakeTensorRt, Status
from support.plain_inference import in_one_graph

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.progress import ProgressReporter
from seg_perception.inference.tensorrt import engine as engine_module
from seg_perception.inference.tensorrt.engine import TensorRtEngine
from seg_perception.ros.engine_supervisor import EngineFailedError, EngineSupervisor

SPEC = GraphSpec(sample_points=3, logits=True)
COSTS = np.vstack([1 - np.eye(5), [0, 50, 100, 254, 300]]).astype(np.float32)
SAMPLE_POINTS = np.array([[[-0.5, 0.0], [0.0, 0.9], [0.7, -0.2]]], np.float32)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[FakeCuda, FakeTensorRt]:
    monkeypatch.setenv("SEG_PERCEPTION_CACHE", str(tmp_path / "cache"))
    return fake_gpu.install(monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save(tmp_path, tiny.network(), tiny.card())


def image(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)


def assert_same_as_graph(engine: Engine, model: Path, seed: int) -> None:
    ours, theirs = (
        engine.run(image(seed), COSTS, SAMPLE_POINTS),
        in_one_graph(model, SPEC, image(seed), COSTS, SAMPLE_POINTS),
    )
    for name in ("labels", "confidence", "expected_cost", "sample_probabilities", "logits"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_results_equal_those_of_the_same_graph_on_the_cpu(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path, precision: Any
) -> None:
    engine = open_engine(model, SPEC, backend="tensorrt", precision=precision)
    reference = open_engine(model, SPEC, backend="onnx_cpu")
    for seed in (1, 2, 1):
        if precision == "fp32":
            assert_same_as_graph(engine, model, seed)
        else:
            ours, theirs = (each.run(image(seed), COSTS, SAMPLE_POINTS) for each in (engine, reference))
            assert (ours.labels == theirs.labels).mean() > 0.98
    engine.close()


def test_outputs_are_not_overwritten_by_the_next_run(gpu: tuple[FakeCuda, FakeTensorRt], model: Path) -> None:
    engine = open_engine(model, SPEC, backend="tensorrt")
    first = engine.run(image(1), COSTS, SAMPLE_POINTS)
    kept = first.labels.copy(), first.sample_probabilities.copy()
    engine.run(image(2), COSTS, SAMPLE_POINTS)
    np.testing.assert_array_equal(first.labels, kept[0])
    np.testing.assert_array_equal(first.sample_probabilities, kept[1])


def test_a_frame_is_one_launch_of_a_cuda_graph(gpu: tuple[FakeCuda, FakeTensorRt], model: Path) -> None:
    cuda, _ = gpu
    engine = open_engine(model, SPEC, backend="tensorrt")
    before = len(cuda.calls), cuda.launches
    engine.run(image(1), COSTS, SAMPLE_POINTS)
    assert cuda.launches == before[1] + 1
    assert cuda.calls[before[0] :] == ["cudaSetDevice", "cudaGraphLaunch", "cudaStreamSynchronize"]


def test_without_graph_capture_it_runs_and_reports_that(gpu: tuple[FakeCuda, FakeTensorRt], model: Path) -> None:
    cuda, _ = gpu
    cuda.failing["cudaGraphInstantiate"] = Status.cudaErrorStreamCaptureUnsupported
    engine = open_engine(model, SPEC, backend="tensorrt")
    assert_same_as_graph(engine, model, 3)
    assert cuda.launches == 0
    assert engine.describe() == "tiny: 64x48, 5 classes, fp32, TensorRT 10.3.0 on Orin, launched without a CUDA graph"


def test_all_memory_streams_and_graphs_are_released(gpu: tuple[FakeCuda, FakeTensorRt], model: Path) -> None:
    cuda, _ = gpu
    engine = open_engine(model, SPEC, backend="tensorrt")
    engine.time_network(2)
    assert cuda.memory and cuda.handles
    engine.close()
    assert not cuda.memory and not cuda.handles
    with pytest.raises(ModelError, match="the engine of 'tiny' is closed; open it again"):
        engine.run(image(1), COSTS, SAMPLE_POINTS)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("cudaMalloc", r"cudaMalloc failed: MemoryAllocation \(cudaErrorMemoryAllocation\)\."),
        ("cudaMallocHost", "cudaMallocHost failed"),
        ("context", "TensorRT has not enough GPU memory for the plan; free some, or use a lower precision"),
        ("execute", "TensorRT could not start the plan on the GPU"),
    ],
)
def test_a_failed_opening_releases_everything(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path, failure: str, sentence: str
) -> None:
    cuda, tensorrt = gpu
    if failure.startswith("cuda"):
        cuda.failing[failure] = Status.cudaErrorMemoryAllocation
    else:
        tensorrt.refuses[failure] = "no"
    with pytest.raises(DeviceError, match=sentence):
        open_engine(model, SPEC, backend="tensorrt")
    assert not cuda.memory and not cuda.handles


def test_the_supervisor_opens_the_engine_again_after_a_gpu_failure(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path
) -> None:
    cuda, tensorrt = gpu
    now = [0.0]
    supervisor = EngineSupervisor(lambda: open_engine(model, SPEC, backend="tensorrt"), lambda: now[0])
    cuda.failing["cudaStreamSynchronize"] = Status.cudaErrorLaunchFailure
    with pytest.raises(EngineFailedError, match=r"cudaStreamSynchronize failed: LaunchFailure"):
        supervisor.run(image(1), COSTS, SAMPLE_POINTS)
    cuda.failing.clear()
    now[0] = 1.0
    assert supervisor.run(image(1), COSTS, SAMPLE_POINTS).labels.shape == (1, 48, 64)
    assert tensorrt.built == 1


def test_inputs_and_outputs_that_are_not_finite_are_refused(gpu: tuple[FakeCuda, FakeTensorRt], tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.fragile_network(), tiny.fragile_card()), SPEC, backend="tensorrt")
    grey, costs = np.full((1, 4, 4, 3), 99, np.uint8), np.zeros((3, 2), np.float32)
    engine.run(grey, costs, SAMPLE_POINTS)
    with pytest.raises(ModelError, match="'tiny' gave numbers that are not finite for this image"):
        engine.run(np.full_like(grey, 255), costs, SAMPLE_POINTS)
    with pytest.raises(ModelError, match="sample_points and costs must be finite"):
        engine.run(grey, costs, np.full_like(SAMPLE_POINTS, np.nan))
    with pytest.raises(ModelError, match=r"the engine needs images as uint8 \[1, 4, 4, 3\]"):
        engine.run(grey[:, :3], costs, SAMPLE_POINTS)


def test_the_network_alone_is_timed_with_its_own_plan_that_is_built_once(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path
) -> None:
    _, tensorrt = gpu
    engine = open_engine(model, SPEC, backend="tensorrt", precision="fp16")
    assert tensorrt.built == 1
    times = engine.time_network(3) + engine.time_network()
    assert len(times) == 4 and min(times) > 0
    assert tensorrt.built == 2
    open_engine(model, SPEC, backend="tensorrt", precision="fp16").time_network()
    assert tensorrt.built == 2


@pytest.mark.parametrize("is_captured", [True, False])
def test_a_plan_alone_is_timed_without_copies_and_with_one_wait_for_many_runs(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path, monkeypatch: pytest.MonkeyPatch, is_captured: bool
) -> None:
    cuda, _ = gpu
    if not is_captured:
        cuda.failing["cudaGraphInstantiate"] = Status.cudaErrorStreamCaptureUnsupported
    engine = open_engine(model, SPEC, backend="tensorrt")
    assert isinstance(engine, TensorRtEngine)
    # Everything that the stream does takes a second.
    monkeypatch.setattr(engine_module, "time", SimpleNamespace(perf_counter=lambda: float(len(cuda.done))))
    assert engine.time_network() == [1000.0 * (1 + 1 + 1)]
    engine.time_plan(1)
    before = len(cuda.done), len(cuda.calls), cuda.launches
    assert engine.time_plan(5) == 1000.0
    assert cuda.done[before[0] :] == ["plan"] * 5
    assert cuda.calls[before[1] :].count("cudaStreamSynchronize") == 1
    assert cuda.launches == before[2] + (5 if is_captured else 0)
    assert_same_as_graph(engine, model, 4)
    assert cuda.done[-10:] == ["copy"] * 3 + ["plan"] + ["copy"] * 6
    engine.close()
    assert not cuda.memory and not cuda.handles
    with pytest.raises(ModelError, match="the engine of 'tiny' is closed"):
        engine.time_plan(1)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("8.5.2.2", r"TensorRT 8\.5\.2\.2 is too old: version 10 or newer is needed, which JetPack 6 brings"),
        ("8.6.1", "update JetPack, or use backend onnx_cpu"),
    ],
)
def test_the_tensorrt_of_jetpack_5_is_refused(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str, sentence: str
) -> None:
    fake_gpu.install(monkeypatch, version=version)
    with pytest.raises(DeviceError, match=sentence):
        open_engine(model, SPEC, backend="tensorrt")


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("parse", r"TensorRT 10\.3\.0 cannot read the graph: no such operator \(node 7\); export the network without"),
        ("build", r"TensorRT 10\.3\.0 cannot build the graph: no such operator\."),
        ("load", r"TensorRT 10\.3\.0 does not load the plan: no such operator\."),
    ],
)
def test_error_messages_of_tensorrt_are_passed_on(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path, where: str, sentence: str
) -> None:
    cuda, tensorrt = gpu
    tensorrt.refuses[where] = "no such\n  operator."
    with pytest.raises((ModelError, DeviceError), match=sentence):
        open_engine(model, SPEC, backend="tensorrt")
    assert not cuda.memory and not cuda.handles


def test_auto_takes_tensorrt_if_it_runs(gpu: tuple[FakeCuda, FakeTensorRt], model: Path) -> None:
    messages: list[str] = []
    engine = open_engine(model, SPEC, reporter=ProgressReporter(messages.append))
    assert messages[-1] == "tiny: 64x48, 5 classes, fp32, TensorRT 10.3.0 on Orin"
    assert engine.describe() == messages[-1]


def test_auto_takes_tensorrt_rtx_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path) -> None:
    monkeypatch.setenv("SEG_PERCEPTION_CACHE", str(tmp_path))
    fake_gpu.install(monkeypatch, flavour="tensorrt_rtx", version="1.7.1")
    messages: list[str] = []
    open_engine(model, SPEC, reporter=ProgressReporter(messages.append))
    assert messages[-1] == (
        "tiny: 64x48, 5 classes, fp32, TensorRT-RTX 1.7.1 on Orin (not tensorrt: TensorRT is not installed)"
    )


def test_auto_falls_back_to_the_cpu_and_logs_the_reasons_in_one_line(
    gpu: tuple[FakeCuda, FakeTensorRt], model: Path
) -> None:
    cuda, _ = gpu
    cuda.failing["cudaSetDevice"] = Status.cudaErrorNoDevice
    messages: list[str] = []
    engine = open_engine(model, SPEC, reporter=ProgressReporter(messages.append), precision="fp16")
    assert "ONNX Runtime" in engine.describe() and "on the CPU" in engine.describe()
    note, line = messages
    assert note == "fp16 is for TensorRT; ONNX Runtime computes in the types of the file."
    assert "not tensorrt: there is no GPU that CUDA can use here" in line
    assert "not tensorrt_rtx: TensorRT-RTX is not installed" in line
    assert "not onnx_cuda: " in line
    assert "\n" not in line
    with pytest.raises(DeviceError, match="there is no GPU that CUDA can use here"):
        open_engine(model, SPEC, backend="tensorrt")


def test_without_cuda_python_the_error_names_what_to_install(
    gpu: tuple[FakeCuda, FakeTensorRt], monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(DeviceError, match=r"cuda-python is not installed .*; pip install cuda-python in the major"):
        open_engine(model, SPEC, backend="tensorrt")


def test_int8_without_a_plan_names_the_command_that_makes_one(gpu: tuple[FakeCuda, FakeTensorRt], model: Path) -> None:
    with pytest.raises(ModelError, match="only calibration images can make the first; run: seg-perception compile"):
        open_engine(model, SPEC, backend="tensorrt", precision="int8")


def test_the_real_cuda_python_knows_every_call_with_its_arguments() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    handle = runtime.cudaStream_t(0)
    calls: dict[str, tuple[Any, ...]] = {
        "cudaSetDevice": (0,),
        "cudaGetDeviceProperties": (0,),
        "cudaStreamCreateWithFlags": (runtime.cudaStreamNonBlocking,),
        "cudaStreamDestroy": (int(handle),),
        "cudaStreamSynchronize": (int(handle),),
        "cudaMallocHost": (0,),
        "cudaFreeHost": (0,),
        "cudaMalloc": (0,),
        "cudaFree": (0,),
        "cudaMemcpyAsync": (0, 0, 0, runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, int(handle)),
        "cudaStreamBeginCapture": (int(handle), runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal),
        "cudaStreamEndCapture": (int(handle),),
        "cudaGraphInstantiate": (runtime.cudaGraph_t(0), 0),
        "cudaGraphLaunch": (runtime.cudaGraphExec_t(0), int(handle)),
        "cudaGraphDestroy": (runtime.cudaGraph_t(0),),
        "cudaGraphExecDestroy": (runtime.cudaGraphExec_t(0),),
    }
    faked = {name for name, value in vars(FakeCuda).items() if name.startswith("cuda") and callable(value)}
    assert set(calls) == faked - {"cudaError_t", "cudaGetErrorString"}
    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("there is a GPU here, on which these calls would do something")
    for name, arguments in calls.items():
        answer = getattr(runtime, name)(*arguments)
        assert isinstance(answer, tuple) and isinstance(answer[0], runtime.cudaError_t), name
    assert runtime.cudaGetErrorString(answer[0])[1].decode()
    assert {"name", "major", "minor", "totalGlobalMem"} <= set(dir(runtime.cudaDeviceProp()))
