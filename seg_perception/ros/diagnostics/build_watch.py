"""What is told while an engine is being built, which may take minutes: in the log, and on diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from seg_perception.inference.tensorrt.open import Watch
from seg_perception.ros.diagnostics.status import Level, Status
from seg_perception.ros.diagnostics.status_message import diagnostics_message

_PERIOD = 1.0  # s, what diagnostic_aggregator expects


def build_watch(node: Any, diagnostics: Any, is_stopping: Callable[[], bool]) -> Watch:
    """A watch that speaks through a node.

    While its engine is being built, the node's own timers stand still; so the builder's progress drives diagnostics.

    Args:
        node: for its log, name and clock.
        diagnostics: publisher of /diagnostics.
        is_stopping: whether the process has been asked to end; then the build is ended by KeyboardInterrupt.
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
            status = Status(Level.WARN, f"the engine is being built: {share:.0%} done.", {})
            name = node.get_fully_qualified_name().lstrip("/")
            diagnostics.publish(diagnostics_message(status, node.get_clock().now().nanoseconds, name, ""))

    return Watch(say=log.info, progress=progress)
