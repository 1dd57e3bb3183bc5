"""Reports the progress of an engine's build, which may take minutes, to the log and to /diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from seg_perception.inference.progress import ProgressReporter
from seg_perception.ros.diagnostics.status import NodeStatus, StatusLevel
from seg_perception.ros.diagnostics.status_message import diagnostics_message

_PERIOD = 1.0  # s, what diagnostic_aggregator expects


def build_reporter(node: Any, diagnostics: Any, is_stopping: Callable[[], bool]) -> ProgressReporter:
    """A progress reporter for the log and the diagnostics of a node.

    The node's own timers stand still during the build, so the progress callback publishes the diagnostics.

    Args:
        node: for its log, name and clock.
        diagnostics: publisher of /diagnostics.
        is_stopping: whether the process was asked to end; a KeyboardInterrupt then ends the build.
    """
    log = node.get_logger()
    logged = 0
    published = float("-inf")

    def progress(share: float) -> None:
        nonlocal logged, published
        if is_stopping():
            raise KeyboardInterrupt
        tenths = round(share * 100) // 10
        if tenths > logged:
            logged = tenths
            log.info(f"building the engine: {tenths}0%")
        if time.monotonic() >= published + _PERIOD:
            published = time.monotonic()
            status = NodeStatus(StatusLevel.WARN, f"the engine is being built: {share:.0%} done.", {})
            name = node.get_fully_qualified_name().lstrip("/")
            diagnostics.publish(diagnostics_message(status, node.get_clock().now().nanoseconds, name, ""))

    return ProgressReporter(log=log.info, progress=progress)
