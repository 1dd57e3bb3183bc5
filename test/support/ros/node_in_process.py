"""The node in this process, with a network that fails on command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor

from seg_perception.inference.engine import Engine, EngineOutput
from seg_perception.inference.progress import ProgressReporter
from seg_perception.ros import resources
from seg_perception.ros.node import PerceptionNode
from seg_perception.ros.parameters.node_settings import NodeSettings


class FaultyNetwork:
    """A network that raises `fault` if it is set, and blocks while `gate` is closed."""

    def __init__(self, settings: NodeSettings) -> None:
        self._engine = resources.open_network(settings, ProgressReporter())
        self.card, self.spec = self._engine.card, self._engine.spec
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.opened = 0

    def open(self, settings: NodeSettings, reporter: ProgressReporter) -> Engine:
        self.opened += 1
        return self

    def run(self, *inputs: Any) -> EngineOutput:
        self.gate.wait(20.0)
        if self.fault is not None:
            raise self.fault
        return self._engine.run(*inputs)

    def time_network(self, runs: int = 1) -> list[float]:
        return self._engine.time_network(runs)

    def describe(self) -> str:
        return "a faulty network"

    def close(self) -> None:
        pass


@contextmanager
def running_node(
    network: FaultyNetwork, parameters: dict[str, Any], folder: Path, name: str
) -> Iterator[PerceptionNode]:
    """Run the node, spinning in its own thread."""
    named = {name: yaml.safe_load(value) if name.endswith("mount") else value for name, value in parameters.items()}
    file = folder / "parameters.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"stale_after": 0.6, **named}}}))
    rclpy.init(args=["--ros-args", "--params-file", str(file), "-r", f"__node:={name}"])
    node = PerceptionNode(open_network=network.open)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield node
    finally:
        network.gate.set()
        stop.set()
        thread.join()
        node.trigger_shutdown()
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
