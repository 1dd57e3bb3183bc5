"""Weights per pixel by class and nearness to borders: errors at lane edges or on people may cost more."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name every torch user knows)

from seg_perception.datasets.dataset import IGNORE
from seg_perception.training.losses.labels import per_pixel


def border_band(target: Tensor, members: Tensor, width: int) -> Tensor:
    """Pixels near a border between two labels that exclude each other.

    There is no border to unlabelled pixels, nor between Tree and Tree|Grass.

    Args:
        target: int64 [N, H, W], 255 ignored.
        members: float [K+G, K] from `membership`.
        width: how many pixels deep the band reaches on either side; 1 takes those that touch the border.

    Returns:
        bool [N, H, W].
    """
    # An additional row and column, all false, for unlabelled pixels.
    exclude = F.pad(members @ members.T == 0, (0, 1, 0, 1))
    label = target.masked_fill(target == IGNORE, len(members))
    down = exclude[label[:, 1:], label[:, :-1]]
    right = exclude[label[:, :, 1:], label[:, :, :-1]]
    border = F.pad(down, (0, 0, 1, 0)) | F.pad(down, (0, 0, 0, 1)) | F.pad(right, (1, 0)) | F.pad(right, (0, 1))
    # A convolution with a disc instead of a distance transform: torch has none, and bands are narrow.
    reach = torch.arange(1 - width, width, device=target.device)
    disc = (reach**2 + reach.unsqueeze(1) ** 2 < width**2).float()
    return F.conv2d(border.float().unsqueeze(1), disc[None, None], padding=width - 1).squeeze(1) > 0.5


def region_weights(
    target: Tensor, members: Tensor, class_weight: Tensor, border_width: int, border_weight: float
) -> Tensor:
    """A weight per pixel from its class and its nearness to a border, after the weight maps of Ronneberger et al.

    (*U-Net*, MICCAI 2015, equation 2), with a band in place of their bell curve.

    Args:
        target: int64 [N, H, W], 255 ignored.
        members: float [K+G, K] from `membership`.
        class_weight: float [K]; a group has the mean weight of its members.
        border_width: depth of the band in pixels, as in `border_band`; 0 for none.
        border_weight: further factor within the band.

    Returns:
        float [N, H, W], 0 for unlabelled pixels.
    """
    weight = per_pixel(members @ class_weight / members.sum(dim=1), target)
    if border_width == 0:
        return weight
    return torch.where(border_band(target, members, border_width), weight * border_weight, weight)
