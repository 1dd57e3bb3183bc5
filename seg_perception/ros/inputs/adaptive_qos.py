"""A subscription to large messages, which changes from best effort to reliable when best effort loses them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from seg_perception.errors import ConfigError
from seg_perception.ros.inputs.reliability_fallback import BestEffortLoss, ReliabilityFallback
from seg_perception.ros.reliability import BEST_EFFORT, RELIABLE, Reliability

_POLICIES = {BEST_EFFORT: ReliabilityPolicy.BEST_EFFORT, RELIABLE: ReliabilityPolicy.RELIABLE}


@dataclass(frozen=True)
class SubscriptionSpec:
    """What a topic carries, and what its publisher can do so that all messages arrive.

    Attributes:
        messages: what its messages are called, in the plural.
        parameter: of the node, for the reliability.
        driver: the process that publishes them.
        alternative: what else the user can do; empty for nothing.
        depths: length of the queue with best effort, and with reliable delivery.
        expects_first: whether a first message is expected as soon as there is a publisher.
    """

    messages: str
    parameter: str
    driver: str
    alternative: str
    depths: tuple[int, int]
    expects_first: bool = False

    def advice(self) -> str:
        """How to make best effort work; the end of a sentence."""
        return (
            f"start the {self.driver} with this package's config/dds/fastdds_large_images.xml as "
            "FASTRTPS_DEFAULT_PROFILES_FILE (up to Jazzy) or FASTDDS_DEFAULT_PROFILES_FILE (from Kilted on)"
            f"{f', or {self.alternative}' if self.alternative else ''}."
        )


class AdaptiveQosSubscription:
    """A subscription to one topic of large messages.

    All methods but the properties must be called in the executor's thread.
    """

    def __init__(
        self,
        node: Any,
        message_type: type,
        topic: str,
        spec: SubscriptionSpec,
        setting: Reliability,
        on_message: Callable[[Any], None],
        warn: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: the node.
            message_type: of the topic.
            topic: resolved name.
            spec: what the topic carries.
            setting: see `ReliabilityFallback`. ROS's own parameter qos_overrides.TOPIC.subscription.reliability
                takes precedence.
            on_message: called with each message.
            warn: logs a warning.

        Raises:
            ConfigError: the parameter that overrides the reliability has none of these values.
        """
        self.topic = topic
        self.incompatible = ""
        self._node = node
        self._type = message_type
        self._spec = spec
        self._on_message = on_message
        self._warn = warn
        setting = _overridden_reliability(node, topic, setting, spec)
        self._fallback = ReliabilityFallback(setting, time.monotonic(), spec.expects_first)
        self._subscription = self._subscribe(QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)))

    @property
    def reliability(self) -> str:
        """Reliability of the current subscription."""
        return self._fallback.reliability

    @property
    def fallback_reason(self) -> str:
        """One sentence on why the subscription left best effort, and the fix; empty if it did not."""
        loss = self._fallback.loss
        if loss is None or self.incompatible:
            return ""
        return (
            f"the subscription to {self._spec.messages} on {self.topic} is reliable, which costs latency, because "
            f"{self._in_words(loss)}; give the {self._spec.driver} more shared memory "
            "(config/dds/fastdds_large_images.xml)."
        )

    def announce_message(self) -> None:
        """Count a camera_info, which announces one message."""
        self._fallback.message_announced()

    def check(self, now: float) -> None:
        """Change the reliability if messages are missing; call it periodically.

        Args:
            now: time.monotonic().
        """
        if not self._fallback.update(now, self._offered):
            return
        loss = self._fallback.loss
        if loss is None:
            self._warn(f"{self.topic}: no publisher offers reliable delivery any more; changing to best effort.")
        else:
            self._warn(
                f"{self.topic}: {self._in_words(loss)}; asking for reliable delivery, which is slower. "
                f"Better: {self._spec.advice()}"
            )
        self.incompatible = ""
        self._node.destroy_subscription(self._subscription)
        # The first subscription has declared parameters with its depth; they must not override this one's.
        self._subscription = self._subscribe(overriding=None)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self, overriding: QoSOverridingOptions | None) -> Any:
        best_effort, reliable = self._spec.depths
        return self._node.create_subscription(
            self._type,
            self.topic,
            self._take,
            QoSProfile(
                depth=reliable if self.reliability == RELIABLE else best_effort,
                reliability=_POLICIES[self.reliability],
            ),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._take_incompatible),
            qos_overriding_options=overriding,
        )

    def _in_words(self, loss: BestEffortLoss) -> str:
        announced = f" for {loss.announced} camera_info" if loss.announced else ""
        return f"best effort delivered {loss.arrived} {self._spec.messages}{announced} in {loss.seconds:.1f} s"

    def _offered(self) -> set[str]:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        return {_name(publisher.qos_profile.reliability) for publisher in publishers}

    def _take(self, message: Any) -> None:
        self._fallback.message_arrived()
        self.incompatible = ""
        self._on_message(message)

    def _take_incompatible(self, event: Any) -> None:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        offered = " and ".join(sorted({_words(each.qos_profile) for each in publishers})) or "something else"
        self._fallback.qos_incompatible()
        self.incompatible = (
            f"its QoS is incompatible: the publisher offers {offered}, and the node requests {self.reliability}; set "
            f"parameter {self._spec.parameter} to 'best_effort' or 'auto', or fix qos_overrides."
        )
        self._warn(f"{self.topic}: {self.incompatible}")


def camera_info_topic(image_topic: str) -> str:
    """The camera_info topic next to an image topic, as image_transport's getCameraInfoTopic defines it."""
    return f"{image_topic.rpartition('/')[0]}/camera_info"


def _overridden_reliability(node: Any, topic: str, setting: Reliability, spec: SubscriptionSpec) -> Reliability:
    """`setting`, unless ROS's own parameter says otherwise.

    rclpy would declare that parameter with the reliability of the first subscription. A "best_effort" that the user has
    set could then not be distinguished from the default.
    """
    name = f"qos_overrides.{topic}.subscription.reliability"
    if not node.has_parameter(name):
        description = f"Reliability of the subscription to {spec.messages}; by default that of {spec.parameter}."
        node.declare_parameter(name, setting, ParameterDescriptor(description=description, read_only=True))
    overridden: Reliability = node.get_parameter(name).value
    if overridden not in get_args(Reliability):
        raise ConfigError(f"parameter '{name}' is '{overridden}'; use one of {', '.join(get_args(Reliability))}.")
    return overridden


def _name(reliability: ReliabilityPolicy) -> str:
    return str(reliability.name).lower().replace("_", " ")


def _words(profile: QoSProfile) -> str:
    return f"{_name(profile.reliability)}, {profile.durability.name.lower().replace('_', ' ')}"
