"""An evaluation as plain data for JSON and as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.metrics.segmentation import Reliability, iou_per_class, pixel_accuracy
from seg_perception.evaluation.network.metrics import EvaluationResult, NetworkEvaluationConfig

_COLUMNS = {
    "IoU": "iou",
    "BF": "boundary_f",
    "PQ": "pq",
    "SQ": "sq",
    "RQ": "rq",
    "cost, most probable": "cost_most_probable",
    "cost, Bayes": "cost_bayes",
}


def summarise_evaluation(result: EvaluationResult, config: NetworkEvaluationConfig) -> dict[str, Any]:
    """All metrics, ready for JSON; docs/results/evaluation.md defines them. Undefined values are None.

    Returns:
        images and pixels (numbers of); mean_iou; pixel_accuracy; boundary_f; panoptic; calibration; risk; labels
        (metrics per label, by name); confusion (pixels, row = ground truth, column = most probable, in the order of
        labels); scores (one entry per image, the worst first).
    """
    metrics = result.metrics
    panoptic = metrics.panoptic
    pq, things = panoptic.panoptic(), np.array(config.things, bool)
    columns: dict[str, NDArray[Any]] = {
        "pixels": metrics.confusion.sum(axis=1),
        "iou": iou_per_class(metrics.confusion),
        "boundary_f": metrics.boundary.per_label(),
        "pq": pq,
        "sq": panoptic.segmentation(),
        "rq": panoptic.recognition(),
        "matched": panoptic.matched,
        "invented": panoptic.false_positives,
        "missed": panoptic.false_negatives,
        "cost_most_probable": metrics.most_probable.per_label(),
        "cost_bayes": metrics.bayes.per_label(),
    }
    return {
        "images": len(result.scores),
        "pixels": int(metrics.confusion.sum()),
        "mean_iou": _mean(columns["iou"]),
        "pixel_accuracy": _plain(pixel_accuracy(metrics.confusion)),
        "boundary_f": {
            "tolerance": str(config.tolerance),
            "mean": _mean(columns["boundary_f"]),
            "mean_over_images": _mean(np.array([score.boundary for score in result.scores])),
        },
        "panoptic": {
            "things": [name for name, thing in zip(config.labels.names, things, strict=True) if thing],
            "pq": _mean(pq),
            "sq": _mean(columns["sq"]),
            "rq": _mean(columns["rq"]),
            "pq_things": _mean(pq[things]),
            "pq_stuff": _mean(pq[~things]),
        },
        "calibration": {
            "ece": _plain(metrics.reliability.expected_calibration_error()),
            "bins": _bins(metrics.reliability),
        },
        "risk": {
            "most_probable": _plain(metrics.most_probable.mean()),
            "bayes": _plain(metrics.bayes.mean()),
            "expected": _plain(metrics.expected.mean()),
        },
        "labels": {
            name: {column: _plain(values[row]) for column, values in columns.items()}
            for row, name in enumerate(config.labels.names)
        },
        "confusion": metrics.confusion.tolist(),
        "scores": [
            {
                "name": score.name,
                "iou": _plain(score.iou),
                "accuracy": _plain(score.accuracy),
                "boundary_f": _plain(score.boundary),
            }
            for score in result.scores
        ],
    }


def evaluation_table(summary: Mapping[str, Any]) -> str:
    """The metrics as aligned text: a line per label, then means and totals."""
    width = max(len("label"), *map(len, summary["labels"]))
    heads = [f"{head:>6}" for head in _COLUMNS]

    def line(name: str, values: Mapping[str, Any]) -> str:
        cells = (_figure(values.get(key)) for key in _COLUMNS.values())
        return f"{name:<{width}}  " + "  ".join(f"{cell:>{len(head)}}" for cell, head in zip(cells, heads, strict=True))

    panoptic, risk = summary["panoptic"], summary["risk"]
    means = {
        "iou": summary["mean_iou"],
        "boundary_f": summary["boundary_f"]["mean"],
        **{key: panoptic[key] for key in ("pq", "sq", "rq")},
    }
    realized = {"cost_most_probable": risk["most_probable"], "cost_bayes": risk["bayes"]}
    return "\n".join(
        [
            f"{'label':<{width}}  " + "  ".join(heads),
            *(line(name, values) for name, values in summary["labels"].items()),
            line("mean", means),
            line("all pixels", realized),
            "",
            f"pixel accuracy {summary['pixel_accuracy']:.2%}, ECE {summary['calibration']['ece']:.4f}",
            f"boundary F at {summary['boundary_f']['tolerance']}; things: {', '.join(panoptic['things']) or 'none'}",
            f"Bayes decision: costs {_figure(risk['bayes'])} a pixel, the network expects {_figure(risk['expected'])}, "
            f"the most probable class costs {_figure(risk['most_probable'])}",
        ]
    )


def _bins(reliability: Reliability) -> list[dict[str, float | int | None]]:
    count = len(reliability.count)
    return [
        {
            "from": index / count,
            "to": (index + 1) / count,
            "pixels": int(pixels),
            "confidence": _plain(reliability.confidence[index] / pixels) if pixels else None,
            "accuracy": _plain(reliability.correct[index] / pixels) if pixels else None,
        }
        for index, pixels in enumerate(reliability.count)
    ]


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of the finite values."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else None


def _plain(value: Any) -> float | int | None:
    """A plain Python number; None for NaN, which JSON lacks."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if math.isfinite(value) else None


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
