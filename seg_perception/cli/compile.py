"""seg-perception compile: build a network for the machine that will run it, after a precision parity check."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.cli.common import Bar, Commands, add_command
from seg_perception.errors import DeviceError, ModelError
from seg_perception.model.card import PRECISIONS

if TYPE_CHECKING:
    import onnx

    from seg_perception.evaluation.network.precision_parity import Batch
    from seg_perception.inference.precision.parity import PrecisionParity
    from seg_perception.inference.tensorrt.plan_build import BuildRequest
    from seg_perception.model.card import Precision
    from seg_perception.model.logit_calibration import LogitCalibration

# Heavy modules are imported inside the functions: help must not wait for ONNX Runtime.

_CPU_RUNS = 30


def register(commands: Commands) -> None:
    """Add the command."""
    compile_ = add_command(commands, "compile", "build a TensorRT plan, or an int8 network for the CPU")
    compile_.add_argument("model", type=Path, help="ONNX file of the network")
    compile_.add_argument("--card", type=Path, help="its model card (default: next to it, with the suffix .yaml)")
    compile_.add_argument("--precision", choices=PRECISIONS, default="fp16", help="precision of the network")
    compile_.add_argument(
        "--calibration", type=Path, metavar="FOLDER", help="images from which int8 takes its value ranges"
    )
    compile_.add_argument(
        "--check", type=Path, metavar="FOLDER|PLAN.yaml",
        help="images for the comparison with fp32, or a training YAML with labelled ones (default: --calibration's)",
    )  # fmt: skip
    compile_.add_argument("--data", type=Path, help="root folder of the dataset paths in --check")
    compile_.add_argument("--matrix", type=Path, help="cost matrix YAML to compare with (default: every error costs 1)")
    compile_.add_argument(
        "--anyway", action="store_true", help="build although a limit is broken, or without a comparison"
    )
    compile_.add_argument(
        "--target", choices=("auto", "tensorrt", "tensorrt_rtx", "cpu"), default="auto",
        help="what will run it (default: TensorRT, or TensorRT-RTX if only that is installed)",
    )  # fmt: skip
    compile_.add_argument("--config", type=Path, help="pipeline settings YAML; its number of sample points is built in")
    compile_.add_argument("--out", type=Path, help="file to write (default: the plan cache, where the node finds it)")
    compile_.set_defaults(run=_compile)


def _compile(arguments: argparse.Namespace) -> None:
    from seg_perception.inference.precision.convert import convert_precision
    from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
    from seg_perception.inference.tensorrt.plan_build import BuildRequest
    from seg_perception.pipeline.pipeline import graph_spec
    from seg_perception.settings.pipeline import PipelineSettings, load_settings

    for_cpu = arguments.target == "cpu"
    if for_cpu and (arguments.precision != "int8" or arguments.out is None):
        raise ModelError("--target cpu writes an int8 network: give --precision int8 and --out FILE.onnx.")
    settings = load_settings(arguments.config) if arguments.config else PipelineSettings()
    card, spec = load_card(arguments.model, arguments.card), graph_spec(settings, logits=True)
    graphs = prepare_graphs(arguments.model, card, spec, arguments.precision)
    request = BuildRequest(card, spec, graphs, arguments.precision)
    images = (batch.images for batch in _folder(arguments.calibration, request)) if arguments.calibration else None
    converted = convert_precision(
        request.graphs.fused, arguments.precision, images, target="cpu" if for_cpu else "tensorrt"
    )
    parity = _check_parity(arguments, request, converted)
    if for_cpu:
        _write_network(arguments, request, converted, parity)
    else:
        _build(arguments, request, converted, parity)


def _check_parity(
    arguments: argparse.Namespace, request: BuildRequest, converted: onnx.ModelProto
) -> PrecisionParity | None:
    """Compare the converted graph with fp32 and print the result; raises ModelError if a limit is broken."""
    from seg_perception.evaluation.network.precision_parity import broken_limit, compare, table
    from seg_perception.risk.cost_matrix import CostMatrix
    from seg_perception.risk.uniform_costs import uniform_costs

    if request.precision == "fp32":
        return None
    source = arguments.check or arguments.calibration
    if source is None:
        if arguments.anyway:
            return None
        raise ModelError(
            f"{request.precision} must be compared with fp32 on images of the robot's camera; name their folder with "
            "--check, or build without with --anyway."
        )
    batches, label_of_class = _comparison(arguments, source, request)
    classes = request.card.classes
    costs = (
        CostMatrix.load(arguments.matrix, classes).stacked_rows() if arguments.matrix else uniform_costs(len(classes))
    )
    parity = compare(request.graphs.fused, converted, batches, costs, label_of_class)
    print(table(parity, request.precision))
    broken = broken_limit(parity, request.precision)
    if broken and not arguments.anyway:
        raise ModelError(f"{broken.rstrip('.')}; --anyway builds it all the same.")
    return parity


def _comparison(arguments: argparse.Namespace, source: Path, request: BuildRequest) -> tuple[Iterator[Batch], Any]:
    if source.suffix.lower() in (".yaml", ".yml"):
        from seg_perception.cli.labelled_batches import label_of_class, labelled_batches
        from seg_perception.datasets.plan import load_dataset_plan

        plan = load_dataset_plan(source, arguments.data)
        return labelled_batches(plan, request), label_of_class(plan, request.card)
    return _folder(source, request), None


def _folder(folder: Path, request: BuildRequest) -> Iterator[Batch]:
    from seg_perception.evaluation.network.precision_parity import Batch
    from seg_perception.sensor_data.images.folder import image_files, read_image
    from seg_perception.sensor_data.images.scaled import at_network_size

    card, files = request.card, image_files(folder)
    with Bar(str(folder)) as progress:
        for done, path in enumerate(files, 1):
            image = at_network_size(read_image(path), card.width, card.height, "bgr", request.spec.image_order)
            yield Batch(image[None])
            progress(done, len(files))


def _build(
    arguments: argparse.Namespace, request: BuildRequest, converted: onnx.ModelProto, parity: PrecisionParity | None
) -> None:
    from seg_perception.inference.tensorrt.open import plan_target
    from seg_perception.inference.tensorrt.plan import SUFFIX, manifest_path, write_plan
    from seg_perception.inference.tensorrt.plan_build import build_plan
    from seg_perception.inference.tensorrt.plan_cache import PlanCache

    if arguments.out is not None and arguments.out.suffix != SUFFIX:
        raise ModelError(f"--out {arguments.out}: a plan's name must end in {SUFFIX}; correct it.")
    api = _tensorrt(arguments.target)
    target = plan_target(api, _gpu())
    with Bar(f"building for {target}") as progress:
        plan = build_plan(api, target, request, converted, parity, lambda done: progress(round(100 * done), 100))
    if arguments.out is None:
        path = PlanCache().store(plan, converted)
    else:
        path = arguments.out
        write_plan(path, plan, converted)
        card = arguments.card or arguments.model.with_suffix(".yaml")
        if card.resolve() != path.with_suffix(".yaml").resolve():
            shutil.copyfile(card, path.with_suffix(".yaml"))
    print(f"{len(plan.content) / 1e6:.1f} MB in {plan.manifest.build_seconds:.1f} s, for {target}")
    print(f"{path.resolve()}\n{manifest_path(path).resolve()}")


def _tensorrt(target: str) -> Any:
    from seg_perception.inference.tensorrt.api import FLAVOURS, find_tensorrt

    failures = []
    for flavour in FLAVOURS:
        if target in ("auto", flavour):
            try:
                return find_tensorrt(flavour)
            except DeviceError as error:
                failures.append(str(error))
    raise DeviceError(f"{' '.join(failures)} Install one, or write an int8 network for the CPU with --target cpu.")


def _gpu() -> Any:
    from seg_perception.inference.tensorrt.cuda import Cuda

    try:
        cuda = Cuda()
    except DeviceError:
        return None
    try:
        return cuda.gpu
    finally:
        cuda.close()


def _write_network(
    arguments: argparse.Namespace, request: BuildRequest, converted: onnx.ModelProto, parity: PrecisionParity | None
) -> None:
    """Write an int8 network and its card as files, and measure its speedup on this machine."""
    import onnx

    from seg_perception.inference.backends import open_engine
    from seg_perception.inference.cpu.speedup import measure_speedup
    from seg_perception.inference.onnx.graph import GraphSpec
    from seg_perception.inference.precision.network_part import extract_network
    from seg_perception.model.card import file_sha256

    out: Path = arguments.out
    if out.suffix != ".onnx":
        raise ModelError(f"--out {out}: a network's name must end in .onnx; correct it.")
    if out.resolve() == arguments.model.resolve():
        raise ModelError(f"--out {out}: is the network itself; give another name.")
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(extract_network(converted), str(out))
    figures = {} if parity is None else {"labels_kept_of_fp32": round(parity.labels_kept, 4)}
    if parity is not None and parity.converted_iou is not None:
        figures["mean_iou"] = round(parity.converted_iou, 4)
    # The new file is opened as it is (fp32), and holds int8.
    calibration: dict[Precision, LogitCalibration] = {"fp32": request.card.calibration_for("int8")}
    card = replace(
        request.card,
        name=out.stem,
        output_name=None,
        calibration=calibration,
        sha256=file_sha256(out),
        measured=figures,
    )
    card.write(out.with_suffix(".yaml"))
    spec = GraphSpec(sample_points=1)
    reference = open_engine(arguments.model, spec, arguments.card, backend="onnx_cpu")
    converted_engine = open_engine(out, spec, backend="onnx_cpu")
    speedup = measure_speedup(reference, converted_engine, _CPU_RUNS)
    print(f"int8 on this CPU: {speedup:.2f} times as fast as fp32 (network alone, median of {_CPU_RUNS} runs in turns)")
    if speedup <= 1:
        print("this CPU does not gain from int8; stay with fp32 here.")
    print(f"{out.resolve()}\n{out.with_suffix('.yaml').resolve()}")
