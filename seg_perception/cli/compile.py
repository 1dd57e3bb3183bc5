"""seg-perception compile: a network for the machine that will run it, checked before it is built."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.cli.common import Bar, Commands
from seg_perception.errors import DeviceError, ModelError
from seg_perception.model.card import PRECISIONS

if TYPE_CHECKING:
    import onnx

    from seg_perception.evaluation.network.precision_parity import Agreement, Batch
    from seg_perception.inference.tensorrt.plan_build import Material
    from seg_perception.model.card import Precision
    from seg_perception.model.logit_calibration import LogitScaling

# Rooms are imported when they are needed: help must not wait for ONNX Runtime.

_CPU_RUNS = 30


def register(commands: Commands) -> None:
    """Add the command."""
    compile_ = commands.add_parser("compile", help="build a TensorRT plan, or an int8 network for the CPU")
    compile_.add_argument("model", type=Path, help="ONNX file of the network")
    compile_.add_argument("--card", type=Path, help="its model card (default: beside it, with the suffix .yaml)")
    compile_.add_argument("--precision", choices=PRECISIONS, default="fp16", help="of the network")
    compile_.add_argument("--calibration", type=Path, metavar="FOLDER", help="images that int8 takes its ranges from")
    compile_.add_argument(
        "--check", type=Path, metavar="FOLDER|PLAN.yaml",
        help="images to compare with fp32 on, or a training YAML with labelled ones (default: --calibration's)",
    )  # fmt: skip
    compile_.add_argument("--data", type=Path, help="folder that the dataset paths of --check start from")
    compile_.add_argument("--matrix", type=Path, help="cost matrix YAML to compare with (default: every error costs 1)")
    compile_.add_argument("--anyway", action="store_true", help="build it although it disagrees, or unchecked")
    compile_.add_argument(
        "--target", choices=("auto", "tensorrt", "tensorrt_rtx", "cpu"), default="auto",
        help="what will run it (default: TensorRT, or TensorRT-RTX where only that is installed)",
    )  # fmt: skip
    compile_.add_argument("--config", type=Path, help="pipeline settings YAML, for its number of ground samples")
    compile_.add_argument("--out", type=Path, help="file to write (default: the plan cache, where the node looks)")
    compile_.set_defaults(run=_compile)


def _compile(arguments: argparse.Namespace) -> None:
    from seg_perception.inference.precision.convert import in_precision
    from seg_perception.inference.prepared_graphs import load_card, prepare
    from seg_perception.inference.tensorrt.plan_build import Material
    from seg_perception.pipeline.pipeline import graph_spec
    from seg_perception.settings.pipeline import PipelineSettings, load_settings

    for_cpu = arguments.target == "cpu"
    if for_cpu and (arguments.precision != "int8" or arguments.out is None):
        raise ModelError("--target cpu writes an int8 network: give --precision int8 and --out FILE.onnx.")
    settings = load_settings(arguments.config) if arguments.config else PipelineSettings()
    card, spec = load_card(arguments.model, arguments.card), graph_spec(settings, logits=True)
    graphs = prepare(arguments.model, card, spec, arguments.precision)
    material = Material(card, spec, graphs, arguments.precision)
    images = (batch.images for batch in _folder(arguments.calibration, material)) if arguments.calibration else None
    converted = in_precision(
        material.graphs.fused, arguments.precision, images, target="cpu" if for_cpu else "tensorrt"
    )
    agreement = _checked(arguments, material, converted)
    if for_cpu:
        _write_network(arguments, material, converted, agreement)
    else:
        _build(arguments, material, converted, agreement)


def _checked(arguments: argparse.Namespace, material: Material, converted: onnx.ModelProto) -> Agreement | None:
    """How the converted graph compares with fp32; prints it, and refuses what must not be built."""
    from seg_perception.evaluation.network.precision_parity import broken_limit, compare, plain_costs, table
    from seg_perception.risk.cost_matrix import CostMatrix

    if material.precision == "fp32":
        return None
    source = arguments.check or arguments.calibration
    if source is None:
        if arguments.anyway:
            return None
        raise ModelError(
            f"{material.precision} must be compared with fp32 on images of the robot's camera; name their folder with "
            "--check, or build without with --anyway."
        )
    batches, meaning = _comparison(arguments, source, material)
    classes = material.card.classes
    costs = CostMatrix.load(arguments.matrix, classes).stacked_rows() if arguments.matrix else plain_costs(len(classes))
    agreement = compare(material.graphs.fused, converted, batches, costs, meaning)
    print(table(agreement, material.precision))
    broken = broken_limit(agreement, material.precision)
    if broken and not arguments.anyway:
        raise ModelError(f"{broken.rstrip('.')}; --anyway builds it all the same.")
    return agreement


def _comparison(arguments: argparse.Namespace, source: Path, material: Material) -> tuple[Iterator[Batch], Any]:
    if source.suffix.lower() in (".yaml", ".yml"):
        from seg_perception.cli.labelled_batches import label_of_class, labelled_batches
        from seg_perception.training.plan import load_plan

        plan = load_plan(source, arguments.data, judging=True)
        return labelled_batches(plan, material), label_of_class(plan, material.card)
    return _folder(source, material), None


def _folder(folder: Path, material: Material) -> Iterator[Batch]:
    from seg_perception.evaluation.network.precision_parity import Batch
    from seg_perception.sensor_data.images.folder import image_files, read_image
    from seg_perception.sensor_data.images.scaled import at_network_size

    card, files = material.card, image_files(folder)
    with Bar(str(folder)) as progress:
        for done, path in enumerate(files, 1):
            image = at_network_size(read_image(path), card.width, card.height, "bgr", material.spec.image_order)
            yield Batch(image[None])
            progress(done, len(files))


def _build(
    arguments: argparse.Namespace, material: Material, converted: onnx.ModelProto, agreement: Agreement | None
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
        plan = build_plan(api, target, material, converted, agreement, lambda share: progress(round(100 * share), 100))
    if arguments.out is None:
        path = PlanCache().keep(plan, converted)
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

    refusals = []
    for flavour in FLAVOURS:
        if target in ("auto", flavour):
            try:
                return find_tensorrt(flavour)
            except DeviceError as error:
                refusals.append(str(error))
    raise DeviceError(f"{' '.join(refusals)} Install one, or write an int8 network for the CPU with --target cpu.")


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
    arguments: argparse.Namespace, material: Material, converted: onnx.ModelProto, agreement: Agreement | None
) -> None:
    """An int8 network as a file of its own, with its card, and how fast it is here."""
    import onnx

    from seg_perception.inference.backends import open_engine
    from seg_perception.inference.cpu.speedup import times_as_fast
    from seg_perception.inference.onnx.graph import GraphSpec
    from seg_perception.inference.precision.network_part import network_alone
    from seg_perception.model.card import file_sha256

    out: Path = arguments.out
    if out.suffix != ".onnx":
        raise ModelError(f"--out {out}: a network's name must end in .onnx; correct it.")
    if out.resolve() == arguments.model.resolve():
        raise ModelError(f"--out {out}: is the network itself; give another name.")
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(network_alone(converted), str(out))
    figures = {} if agreement is None else {"labels_kept_of_fp32": round(agreement.labels, 4)}
    if agreement is not None and agreement.converted_iou is not None:
        figures["mean_iou"] = round(agreement.converted_iou, 4)
    # As it is, the new file is int8.
    calibration: dict[Precision, LogitScaling] = {"fp32": material.card.scaling("int8")}
    card = replace(
        material.card,
        name=out.stem,
        output_name=None,
        calibration=calibration,
        sha256=file_sha256(out),
        measured=figures,
    )
    card.write(out.with_suffix(".yaml"))
    spec = GraphSpec(cells=1)
    reference = open_engine(arguments.model, spec, arguments.card, backend="onnx_cpu")
    ours = open_engine(out, spec, backend="onnx_cpu")
    ratio = times_as_fast(reference, ours, _CPU_RUNS)
    print(f"int8 on this CPU: {ratio:.2f} times as fast as fp32 (network alone, median of {_CPU_RUNS} runs in turns)")
    if ratio <= 1:
        print("this CPU does not gain from int8; stay with fp32 here.")
    print(f"{out.resolve()}\n{out.with_suffix('.yaml').resolve()}")
