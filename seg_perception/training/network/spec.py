"""Width and context of the network, as a plan may set them. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seg_perception.settings.yaml_file import Section


@dataclass(frozen=True)
class NetworkSpec:
    """Width and context of the network; stored in every checkpoint.

    Attributes:
        classes: number of output classes K.
        channels: feature channels at 1/2, 1/4, 1/8 and 1/16 of the input size.
        dilations: one residual block at 1/16 per entry, with that dilation.
        aspp_rates: dilations of the parallel ASPP branches.
        dropout: probability of zeroing a feature channel before the classifier, while training.
    """

    classes: int
    channels: tuple[int, int, int, int] = (24, 40, 80, 144)
    dilations: tuple[int, ...] = (1, 2, 1, 4, 1, 8, 2, 4)
    aspp_rates: tuple[int, ...] = (3, 6, 9)
    dropout: float = 0.1


def read_network_spec(top: Section, classes: int) -> NetworkSpec:
    """The optional `network` of a plan; missing keys keep their defaults.

    Raises:
        ConfigError: a key is unknown or out of range.
    """
    spec = NetworkSpec(classes)
    if "network" not in top:
        return spec
    section = top.section("network")
    if "channels" in section:
        half, quarter, eighth, body = _whole(section, "channels", 4)
        spec = replace(spec, channels=(half, quarter, eighth, body))
    if "dilations" in section:
        spec = replace(spec, dilations=_whole(section, "dilations"))
    if "aspp_rates" in section:
        spec = replace(spec, aspp_rates=_whole(section, "aspp_rates"))
    if "dropout" in section:
        spec = replace(spec, dropout=section.number("dropout", 0.0, 0.9))
    section.finish()
    return spec


def _whole(section: Section, key: str, length: int | None = None) -> tuple[int, ...]:
    numbers = section.numbers(key, length)
    if any(number != int(number) or not 1 <= number <= 4096 for number in numbers):
        raise section.error(key, "must be whole numbers from 1 to 4096.")
    return tuple(int(number) for number in numbers)
