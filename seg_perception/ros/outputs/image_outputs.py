"""Publishes images of labels, costs and confidence, the meaning of the labels, and latencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from seg_perception.model.card import ModelCard
from seg_perception.pipeline.result import Result
from seg_perception.recordings.result_bag.result_frame import LabelInfo
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros import messages
from seg_perception.ros.outputs.publishers import latched, latest, make_publisher
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.utils.visualization import most_probable, overlay

_OVERLAY_ALPHA = 0.5


class ImageOutputs:
    """Image-shaped outputs of one camera, on lifecycle publishers, which publish nothing while the node is inactive."""

    def __init__(self, node: Any, card: ModelCard, prefix: str = "") -> None:
        """Create the publishers.

        Args:
            node: the node.
            card: with names and colours of the classes.
            prefix: of the topic names, if there are several cameras.
        """
        self._node = node
        self._card = card
        self._publishers: list[Any] = []

        def publisher(message_type: type, name: str, qos: QoSProfile | None = None) -> Any:
            made = make_publisher(node, message_type, f"{prefix}{name}", qos or latest())
            self._publishers.append(made)
            return made

        self._labels = publisher(Image, "labels")
        self._most_probable = publisher(Image, "most_probable")
        self._confidence = publisher(Image, "confidence")
        self._expected_cost = publisher(Image, "expected_cost")
        self._overlay = publisher(Image, "overlay")
        self._latency = publisher(DiagnosticArray, "latency")
        self._label_info = publisher(messages.label_info_type(), "label_info", latched())

    def publish_label_info(self, matrix: CostMatrix, stamp_ns: int) -> None:
        """Publish the meaning of the labels, latched."""
        info = LabelInfo(self._card.classes, self._card.colours, tuple(matrix.traverse.tolist()))
        self._label_info.publish(messages.label_info(info, stamp_ns))

    def publish(self, header: Any, size: tuple[int, int], result: Result, settings: NodeSettings) -> None:
        """Publish the images of one frame; all but the labels only while they have subscribers.

        Args:
            header: of the camera's message; every image has the same.
            size: (width, height) of the camera's image, to which all but the overlay are resized.
            result: of the frame.
            settings: uses `expected_cost_encoding`.
        """
        output = result.output
        self._labels.publish(messages.image_message(header, _resized(output.labels[0], size), "mono8"))
        if self._most_probable.get_subscription_count() and output.logits is not None:
            height, width = output.labels.shape[1:]
            labels = most_probable(output.logits[0], width, height)
            self._most_probable.publish(messages.image_message(header, _resized(labels, size), "mono8"))
        if self._confidence.get_subscription_count():
            self._confidence.publish(messages.image_message(header, _resized(output.confidence[0], size), "mono8"))
        if self._expected_cost.get_subscription_count():
            cost = _resized(output.expected_cost[0], size)
            encoding = settings.expected_cost_encoding
            pixels = cost if encoding == "mono8" else cost.astype(np.float32)
            self._expected_cost.publish(messages.image_message(header, pixels, encoding))
        if self._overlay.get_subscription_count():
            rendered = overlay(result.image, output.labels[0], self._card.colours, _OVERLAY_ALPHA)
            self._overlay.publish(messages.image_message(header, rendered, "bgr8"))

    def publish_latency(self, stamp_ns: int, milliseconds: Mapping[str, float]) -> None:
        """Publish the duration of each stage of a frame, while the topic has subscribers."""
        if self._latency.get_subscription_count():
            self._latency.publish(messages.latency_message(stamp_ns, milliseconds))

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)


def _resized(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if plane.shape[::-1] == size:
        return plane
    # Nearest neighbour: labels must not be interpolated, nor costs at the edge of an object.
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
