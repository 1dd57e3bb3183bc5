"""Warm start from a trained network: a checkpoint or an ONNX file, also with other classes.

An ONNX file has its batch norms folded into its convolutions. To unfold them, mean and variance at each batch norm are
measured on training images, and its scale and shift are chosen so that the network's function is unchanged. Training
then starts with unit variance after each normalisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from seg_perception.errors import ConfigError, ModelError
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.model.card import ModelCard
from seg_perception.training.checkpoint import load_checkpoint
from seg_perception.training.network.architecture import SegmentationNetwork
from seg_perception.training.network.spec import NetworkSpec
from seg_perception.training.plan import MEAN, STD


@dataclass(frozen=True)
class WarmStart:
    """A trained network to start from.

    Attributes:
        network: in evaluation mode, on the CPU.
        classes: class names in output order.
        folded: whether its batch norms are folded into the convolutions.
    """

    network: SegmentationNetwork
    classes: tuple[str, ...]
    folded: bool


def load_warm_start(path: Path, spec: NetworkSpec) -> WarmStart:
    """Read a checkpoint (.pt) or an exported network (.onnx, with its card next to it).

    Args:
        path: the file.
        spec: of the network to train; the file's network must have the same but for the classes.

    Raises:
        ConfigError, ModelError: the file cannot be read, or holds another kind of network.
    """
    return _from_onnx(path, spec) if path.suffix == ".onnx" else _from_checkpoint(path, spec)


def _from_checkpoint(path: Path, spec: NetworkSpec) -> WarmStart:
    state = load_checkpoint(path)
    stored = NetworkSpec(**state["spec"])
    if replace(stored, classes=spec.classes, dropout=spec.dropout) != spec:
        raise ConfigError(f"{path}: was trained with another 'network' ({stored}); write the same into the plan.")
    network = SegmentationNetwork(stored)
    network.load_state_dict(state["average"])
    return WarmStart(network.eval(), tuple(state["classes"]), folded=False)


def _from_onnx(path: Path, spec: NetworkSpec) -> WarmStart:
    card = ModelCard.load(path.with_suffix(".yaml"))
    card.verify(path)
    if (card.channel_order, card.mean, card.std) != ("rgb", MEAN, STD):
        raise ModelError(
            f"{path}: takes images of another order or normalisation than training uses; train from scratch."
        )
    graph = read_network(path, card, 1).graph
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    weights = [
        [constants.get(name, np.zeros(0)) for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"
    ]
    network = SegmentationNetwork(replace(spec, classes=len(card.classes))).eval()
    layers = _convolutions(network)
    shapes = [[tuple(array.shape) for array in arrays] for arrays in weights]
    if shapes != [[tuple(layer.weight.shape), (layer.out_channels,)] for layer, _ in layers]:
        raise ModelError(
            f"{path}: is not an fp32 network of the shape that the plan's 'network' describes; choose the network as "
            "'train' exported it, and write the 'network' it was trained with into the plan."
        )
    for (layer, norm), (kernel, bias) in zip(layers, weights, strict=True):
        _load(layer, norm, torch.from_numpy(kernel.copy()), torch.from_numpy(bias.copy()))
    return WarmStart(network, card.classes, folded=True)


def _convolutions(network: SegmentationNetwork) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """The convolutions, each with its batch norm, in order of execution, which is also their order in the ONNX file."""
    ran: list[nn.Module] = []

    def note(module: nn.Module, _inputs: Any, _output: Any) -> None:
        ran.append(module)

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, kinds)]
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    following = [*ran[1:], None]
    return [
        (module, after if isinstance(after, nn.BatchNorm2d) else None)
        for module, after in zip(ran, following, strict=True)
        if isinstance(module, nn.Conv2d)
    ]


@torch.no_grad()
def _load(layer: nn.Conv2d, norm: nn.BatchNorm2d | None, kernel: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(kernel)
    if norm is None:
        assert layer.bias is not None
        layer.bias.copy_(bias)
    else:
        nn.init.zeros_(norm.running_mean)  # type: ignore[arg-type]
        nn.init.ones_(norm.running_var)  # type: ignore[arg-type]
        norm.weight.fill_((1.0 + norm.eps) ** 0.5)
        norm.bias.copy_(bias)


@torch.no_grad()
def unfold_batch_norms(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Set every batch norm's statistics to those of its inputs, and scale and shift so that the function is unchanged.

    With measured mean m and variance v, y = a x + b is kept by the scale a √(v + ε) and the shift b + a m.

    Args:
        network: in evaluation mode; changed in place.
        images: inputs float32 [N, 3, H, W].
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        count = torch.full((x.shape[1],), x.numel() / x.shape[1], dtype=torch.float64)
        sums[norm] += torch.stack([count, x.sum((0, 2, 3)).cpu(), (x * x).sum((0, 2, 3)).cpu()])  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    for batch in images:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, (count, total, squares) in sums.items():
        mean = total / count
        variance = (squares / count - mean**2).clamp(min=0.0)
        assert norm.running_mean is not None and norm.running_var is not None
        slope = norm.weight.double().cpu() / (norm.running_var.double().cpu() + norm.eps).sqrt()
        shift = norm.bias.double().cpu() - slope * norm.running_mean.double().cpu()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        norm.bias.copy_(shift + slope * mean)


@torch.no_grad()
def transfer_weights(warm_start: WarmStart, network: SegmentationNetwork, classes: Sequence[str]) -> None:
    """Copy a trained network's weights; in the last layer those of common classes only.

    Args:
        warm_start: to copy from.
        network: to copy to, of the same spec but for the classes; weights of new classes are not changed.
        classes: those of `network`.
    """
    last = "classifier.1."
    state = {name: value for name, value in warm_start.network.state_dict().items() if not name.startswith(last)}
    network.load_state_dict(state, strict=False)
    old, new = warm_start.network.classifier[1], network.classifier[1]
    for row, name in enumerate(classes):
        if name in warm_start.classes:
            source = warm_start.classes.index(name)
            new.weight[row].copy_(old.weight[source])  # type: ignore[index]
            new.bias[row].copy_(old.bias[source])  # type: ignore[index]
