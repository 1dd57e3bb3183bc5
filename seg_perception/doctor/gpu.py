"""Checks of the GPU, the backends, and the plans in the cache."""

from __future__ import annotations

from pathlib import Path

from seg_perception.doctor.finding import Finding, note, ok, problem, size
from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.onnx.session import cuda_problem
from seg_perception.inference.tensorrt.api import FLAVOURS, TITLES, Flavour, find_tensorrt
from seg_perception.inference.tensorrt.cuda import Cuda, Gpu
from seg_perception.inference.tensorrt.open import plan_target
from seg_perception.inference.tensorrt.plan import PlanManifest, read_plan
from seg_perception.inference.tensorrt.plan_cache import PlanCache

_COMPILE = "seg-perception compile MODEL.onnx"


def findings() -> list[Finding]:
    """Check the GPU, the backends in the order of "auto", which of them it takes, and the plans."""
    gpu, about_gpu = _gpu()
    found = [about_gpu]
    usable: list[str] = []
    for flavour in FLAVOURS:
        finding = _tensorrt(flavour)
        found.append(finding)
        if finding.severity.value == "ok" and gpu is not None:
            usable.append(flavour)
    reason = cuda_problem()
    found.append(ok("ONNX Runtime on CUDA", "built in") if reason is None else note("ONNX Runtime on CUDA", reason))
    if reason is None and gpu is not None:
        usable.append("onnx_cuda")
    found.append(ok("backend auto", f"tries {', then '.join([*usable, 'onnx_cpu'])}"))
    return found + [_plan(path, manifest, gpu) for path, manifest in PlanCache().plans()]


def _gpu() -> tuple[Gpu | None, Finding]:
    try:
        cuda = Cuda()
    except DeviceError as error:
        return None, note("GPU", str(error), "the network runs on the CPU")
    gpu = cuda.gpu
    cuda.close()
    return gpu, ok("GPU", f"{gpu.name}, compute capability {gpu.compute_capability}, {size(gpu.memory)}")


def _tensorrt(flavour: Flavour) -> Finding:
    title = TITLES[flavour]
    try:
        return ok(title, find_tensorrt(flavour).version)
    except DeviceError as error:
        absent = str(error).endswith("is not installed.")
        return note(title, "not installed") if absent else problem(title, str(error))


def _plan(path: Path, manifest: PlanManifest, gpu: Gpu | None) -> Finding:
    subject = f"plan of {manifest.source.model}, {manifest.source.precision}"
    try:
        content = read_plan(path).content
    except ModelError as error:
        return problem(subject, str(error), "it is built again when the network is opened next")
    about = f"{size(len(content))}, for {manifest.target}"
    try:
        flavour: Flavour = "tensorrt_rtx" if manifest.target.flavour == "tensorrt_rtx" else "tensorrt"
        here = plan_target(find_tensorrt(flavour), gpu)
    except DeviceError as error:
        return note(subject, f"{about}; cannot be used here: {error}", _COMPILE)
    if here != manifest.target:
        return note(subject, f"{about}; this machine has {here}", _COMPILE)
    return ok(subject, about)
