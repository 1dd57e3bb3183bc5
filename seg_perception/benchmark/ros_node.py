"""The node with a fake engine: python -m seg_perception.benchmark.ros_node SECONDS --ros-args ..."""

from __future__ import annotations

import sys

from seg_perception.benchmark.fake_engine import FakeEngine
from seg_perception.inference.engine import Engine
from seg_perception.inference.progress import ProgressReporter
from seg_perception.ros.parameters.node_settings import NodeSettings

# The node is imported when it runs: it needs rclpy.


def _open(settings: NodeSettings, reporter: ProgressReporter) -> Engine:
    from seg_perception.ros.resources import open_network

    return FakeEngine(open_network(settings, reporter), float(sys.argv[1]))


def main() -> int:
    """Run the node until it is interrupted; the exit code is that of the node."""
    from seg_perception.ros.node import main as run_node

    return run_node(open_network=_open)


if __name__ == "__main__":
    sys.exit(main())
