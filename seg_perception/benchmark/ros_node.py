"""The node with a stand-in for its network: python -m seg_perception.benchmark.ros_node SECONDS --ros-args ..."""

from __future__ import annotations

import sys

from seg_perception.benchmark.fake_engine import StandIn
from seg_perception.inference.engine import Engine
from seg_perception.inference.tensorrt.open import Watch
from seg_perception.ros.node import main
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.ros.resources import open_network


def _open(settings: NodeSettings, watch: Watch) -> Engine:
    return StandIn(open_network(settings, watch), float(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main(open_network=_open))
