"""The reliability diagram: accuracy over confidence (Guo et al., ICML 2017)."""

from __future__ import annotations

import numpy as np

from seg_perception.evaluation.metrics.segmentation import Reliability

_SIDE = 260.0
_LEFT, _TOP = 52.0, 44.0
_SHARES_TOP, _SHARES_HEIGHT = _TOP + _SIDE + 34.0, 40.0
_WIDTH, _HEIGHT = _LEFT + _SIDE + 22.0, _SHARES_TOP + _SHARES_HEIGHT + 40.0

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #5e6672 }
.title { font-size: 14px; font-weight: 600; fill: #1d2126 }
.accuracy, .share { fill: #0072b2; opacity: .55 }
.gap { fill: #d55e00; opacity: .8 }
.before { fill: #fffefb; stroke: #1d2126; stroke-width: 1.5 }
.perfect { stroke: #1d2126; stroke-dasharray: 4 4 }
.frame { fill: none; stroke: #b9b2a4 }
"""


def reliability_diagram_svg(reliability: Reliability, before: Reliability | None = None) -> str:
    """Draw a reliability diagram as an SVG file of its own.

    Per bin of confidence a bar shows the accuracy, and the gap to the mean confidence is filled: perfect calibration
    has no gaps. A second chart below shows the share of all pixels per bin.

    Args:
        reliability: to draw.
        before: drawn as circles at mean confidence and accuracy, for comparison; None for none.
    """
    parts = [_rectangle("frame", 0.0, 1.0, 0.0, 1.0)]
    edges = np.linspace(0, 1, len(reliability.count) + 1)
    shares = reliability.count / max(int(reliability.count.sum()), 1)
    for index in np.flatnonzero(reliability.count):
        low, high = edges[index], edges[index + 1]
        confidence, accuracy = _means(reliability, int(index))
        parts.append(_rectangle("accuracy", low, high, 0.0, accuracy))
        parts.append(_rectangle("gap", low, high, *sorted((accuracy, confidence))))
        parts.append(_rectangle("share", low, high, 0.0, shares[index], _SHARES_TOP, _SHARES_HEIGHT))
    parts.append(_line("perfect", 0.0, 0.0, 1.0, 1.0))
    title = f"ECE {reliability.expected_calibration_error():.4f}"
    if before is not None:
        title += f" (circles: {before.expected_calibration_error():.4f} before)"
        for index in np.flatnonzero(before.count):
            x, y = _to_svg(*_means(before, int(index)))
            parts.append(f'<circle class="before" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    parts += [
        _text(_LEFT, 26, title, "start", "title"),
        *(_text(_to_svg(v, 0)[0], _TOP + _SIDE + 16, f"{v:g}") for v in (0, 0.5, 1)),
        *(_text(_LEFT - 6, _to_svg(0, v)[1] + 4, f"{v:g}", "end") for v in (0, 0.5, 1)),
        _text(_LEFT + _SIDE / 2, _SHARES_TOP + _SHARES_HEIGHT + 20, "confidence; below the share of all pixels"),
        f'<text transform="translate(16 {_TOP + _SIDE / 2:.1f}) rotate(-90)" text-anchor="middle">share right</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="{_WIDTH:g}" '
        f'height="{_HEIGHT:g}" role="img" aria-label="reliability diagram, {title}">\n<style>{_STYLE}</style>\n'
        '<rect width="100%" height="100%" fill="#fffefb"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _means(reliability: Reliability, index: int) -> tuple[float, float]:
    """Mean confidence and accuracy of a bin that is not empty."""
    count = reliability.count[index]
    return float(reliability.confidence[index] / count), float(reliability.correct[index] / count)


def _to_svg(x: float, y: float, top: float = _TOP, height: float = _SIDE) -> tuple[float, float]:
    """From 0..1 along both axes, y upwards, to SVG coordinates."""
    return _LEFT + x * _SIDE, top + (1 - y) * height


def _rectangle(
    kind: str, left: float, right: float, low: float, high: float, top: float = _TOP, height: float = _SIDE
) -> str:
    x, y = _to_svg(left, high, top, height)
    size = f'width="{(right - left) * _SIDE:.1f}" height="{(high - low) * height:.1f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}/>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    start, end = _to_svg(x1, y1), _to_svg(x2, y2)
    return f'<line class="{kind}" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
