"""The light network: depthwise-separable residual blocks, dilated context with ASPP, early skips for detail.

An encoder-decoder in the manner of DeepLabv3+ (Chen et al., ECCV 2018) with inverted residual blocks (Sandler et al.,
CVPR 2018). The body works at 1/16 of the image's size, where context is cheap; skips from 1/8 and 1/4 bring back edges.
It uses only operations that ONNX Runtime and TensorRT support directly: convolution, ReLU, mean, bilinear resize,
concat.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name every torch user knows)

from seg_perception.training.network.spec import NetworkSpec


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False), nn.BatchNorm2d(outputs)
    )


def _separable(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3x3 depthwise, then 1x1 pointwise; a ReLU after each."""
    return nn.Sequential(
        _conv(inputs, inputs, 3, stride, dilation, groups=inputs), nn.ReLU(), _conv(inputs, outputs), nn.ReLU()
    )


class InvertedResidual(nn.Module):
    """1x1 expand, 3x3 depthwise, 1x1 project; the input is added back where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.body = nn.Sequential(
            _conv(inputs, hidden), nn.ReLU(), _conv(hidden, hidden, 3, stride, dilation, groups=hidden), nn.ReLU(),
            _conv(hidden, outputs),
        )  # fmt: skip
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., 2017): 1x1, dilated 3x3 at several rates and the image's mean."""

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.point = nn.Sequential(_conv(inputs, outputs), nn.ReLU())
        self.dilated = nn.ModuleList(_separable(inputs, outputs, dilation=rate) for rate in rates)
        # No batch norm on the 1x1 mean: at batch size 1 it has only one value per channel.
        self.mean = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU())
        self.project = nn.Sequential(_conv(outputs * (2 + len(rates)), outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        mean = self.mean(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])
        return self.project(torch.cat([self.point(x), *(branch(x) for branch in self.dilated), mean], dim=1))  # type: ignore[no-any-return]


class SegmentationNetwork(nn.Module):
    """Image to logits at a quarter of its size.

    Args of `forward`:
        x: float32 [N, 3, H, W], normalised; H and W multiples of 4.

    Returns:
        float32 [N, K, H/4, W/4] logits.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        half, quarter, eighth, body = spec.channels
        self.stem = nn.Sequential(_conv(3, half, 3, stride=2), nn.ReLU(), _separable(half, quarter, stride=2))
        self.to_quarter = nn.Sequential(*(InvertedResidual(quarter, quarter, 2) for _ in range(2)))
        self.to_eighth = nn.Sequential(
            InvertedResidual(quarter, eighth, 3, stride=2), *(InvertedResidual(eighth, eighth, 2) for _ in range(3))
        )
        self.to_body = nn.Sequential(
            InvertedResidual(eighth, body, 3, stride=2),
            *(InvertedResidual(body, body, 2, dilation=dilation) for dilation in spec.dilations),
        )
        context = 96
        self.aspp = ASPP(body, context, spec.aspp_rates)
        self.skip_eighth = nn.Sequential(_conv(eighth, 48), nn.ReLU())
        self.merge_eighth = _separable(context + 48, context)
        self.skip_quarter = nn.Sequential(_conv(quarter, 32), nn.ReLU())
        self.merge_quarter = nn.Sequential(_separable(context + 32, 64), _separable(64, 64))
        self.classifier = nn.Sequential(nn.Dropout2d(spec.dropout), nn.Conv2d(64, spec.classes, 1))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        quarter = self.to_quarter(self.stem(x))
        eighth = self.to_eighth(quarter)
        y = self.aspp(self.to_body(eighth))
        y = self.merge_eighth(torch.cat([_resize_to(y, eighth), self.skip_eighth(eighth)], dim=1))
        y = self.merge_quarter(torch.cat([_resize_to(y, quarter), self.skip_quarter(quarter)], dim=1))
        logits: Tensor = self.classifier(y)
        return logits


def _resize_to(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=(like.shape[2], like.shape[3]), mode="bilinear", align_corners=False)


def export_onnx(network: SegmentationNetwork, path: Path, width: int, height: int) -> None:
    """Write the network as ONNX: "image" float32 [1, 3, height, width] in, "logits" [1, K, height/4, width/4] out.

    The exporter folds batch norms into the convolutions. Shapes are fixed, as engines require.
    """
    network = network.eval().float()
    torch.onnx.export(
        network, (torch.zeros(1, 3, height, width),), str(path), input_names=["image"], output_names=["logits"],
        opset_version=17, dynamo=False,
    )  # fmt: skip
