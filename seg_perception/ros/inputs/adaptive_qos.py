"""A subscription to messages that are so large that best effort may lose them."""

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
from seg_perception.ros.inputs.reliability_fallback import BEST_EFFORT, RELIABLE, Fallback, Loss, Reliability

_POLICIES = {BEST_EFFORT: ReliabilityPolicy.BEST_EFFORT, RELIABLE: ReliabilityPolicy.RELIABLE}


@dataclass(frozen=True)
class Cargo:
    """What such a topic carries, and what its owner can do to have all of it.

    Attributes:
        plural: what its messages are called.
        parameter: of the node, for the reliability.
        driver: who publishes them.
        instead: what else may be done; empty for nothing.
        depths: length of the queue, by reliability.
        first_is_due: whether a publisher is reason enough to expect a first message.
    """

    plural: str
    parameter: str
    driver: str
    instead: str
    depths: tuple[int, int]
    first_is_due: bool = False

    def advice(self) -> str:
        """How messages come best effort; ends the sentence."""
        return (
            f"start the {self.driver} with this package's config/dds/fastdds_large_images.xml as "
            "FASTRTPS_DEFAULT_PROFILES_FILE (up to Jazzy) or FASTDDS_DEFAULT_PROFILES_FILE (from Kilted on)"
            f"{f', or {self.instead}' if self.instead else ''}."
        )


class LargeInput:
    """One such topic; every method is called in the executor's thread, except for what only tells."""

    def __init__(
        self,
        node: Any,
        message_type: type,
        topic: str,
        cargo: Cargo,
        setting: Reliability,
        take: Callable[[Any], None],
        say: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: the node.
            message_type: of the topic.
            topic: resolved.
            cargo: what it carries.
            setting: see `Fallback`. ROS's own parameter qos_overrides.TOPIC.subscription.reliability outranks it.
            take: takes each message.
            say: logs a warning.

        Raises:
            ConfigError: the parameter that overrides the reliability is none of these.
        """
        self.topic = topic
        self.incompatible = ""
        self._node = node
        self._type = message_type
        self._cargo = cargo
        self._on_message = take
        self._say = say
        setting = _chosen_reliability(node, topic, setting, cargo)
        self._fallback = Fallback(setting, time.monotonic(), cargo.first_is_due)
        self._subscription = self._subscribe(QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)))

    @property
    def reliability(self) -> str:
        """Of the subscription in use."""
        return self._fallback.reliability

    @property
    def shortfall(self) -> str:
        """One sentence on why best effort was given up, and the mend; empty where it was not."""
        loss = self._fallback.loss
        if loss is None or self.incompatible:
            return ""
        return (
            f"{self._cargo.plural} from {self.topic} are asked for reliably, which costs latency, since "
            f"{self._told(loss)}; give the {self._cargo.driver} more shared memory "
            "(config/dds/fastdds_large_images.xml)."
        )

    def announced(self) -> None:
        """A camera_info says that a message is about to arrive."""
        self._fallback.announced()

    def check(self, now: float) -> None:
        """Look after messages that do not arrive; called every now and then.

        Args:
            now: time.monotonic().
        """
        if not self._fallback.changes(now, self._offered):
            return
        loss = self._fallback.loss
        if loss is None:
            self._say(f"{self.topic}: reliable delivery is no longer offered; going back to best effort.")
        else:
            self._say(
                f"{self.topic}: {self._told(loss)}; asking for reliable delivery, which is slower. "
                f"Better: {self._cargo.advice()}"
            )
        self.incompatible = ""
        self._node.destroy_subscription(self._subscription)
        # The parameters of the first subscription have its depth; they must not undo this one's.
        self._subscription = self._subscribe(overriding=None)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self, overriding: QoSOverridingOptions | None) -> Any:
        best_effort, reliable = self._cargo.depths
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

    def _told(self, loss: Loss) -> str:
        announced = f" and {loss.announced} camera_info" if loss.announced else ""
        return f"best effort brought {loss.arrived} {self._cargo.plural}{announced} in {loss.seconds:.1f} s"

    def _offered(self) -> set[str]:
        offers = self._node.get_publishers_info_by_topic(self.topic)
        return {_name(offer.qos_profile.reliability) for offer in offers}

    def _take(self, message: Any) -> None:
        self._fallback.arrived()
        self.incompatible = ""
        self._on_message(message)

    def _take_incompatible(self, event: Any) -> None:
        offers = self._node.get_publishers_info_by_topic(self.topic)
        offered = " and ".join(sorted({_words(offer.qos_profile) for offer in offers})) or "something else"
        self._fallback.refused()
        self.incompatible = (
            f"its QoS is incompatible: it offers {offered}, and {self.reliability} is asked for; set parameter "
            f"{self._cargo.parameter} to 'best_effort' or 'auto', or mend qos_overrides."
        )
        self._say(f"{self.topic}: {self.incompatible}")


def info_topic_beside(image_topic: str) -> str:
    """Where the calibration of images is, as image_transport's getCameraInfoTopic has it."""
    return f"{image_topic.rpartition('/')[0]}/camera_info"


def _chosen_reliability(node: Any, topic: str, setting: Reliability, cargo: Cargo) -> Reliability:
    """`setting`, unless the parameter that ROS has for it says otherwise.

    rclpy would declare it with what the subscription begins with, and "best_effort" as the user's word could then not
    be told from our own.
    """
    name = f"qos_overrides.{topic}.subscription.reliability"
    if not node.has_parameter(name):
        description = f"Reliability of the subscription to {cargo.plural}; by default that of {cargo.parameter}."
        node.declare_parameter(name, setting, ParameterDescriptor(description=description, read_only=True))
    chosen: Reliability = node.get_parameter(name).value
    if chosen not in get_args(Reliability):
        raise ConfigError(f"parameter '{name}' is '{chosen}'; use one of {', '.join(get_args(Reliability))}.")
    return chosen


def _name(reliability: ReliabilityPolicy) -> str:
    return str(reliability.name).lower().replace("_", " ")


def _words(profile: QoSProfile) -> str:
    return f"{_name(profile.reliability)}, {profile.durability.name.lower().replace('_', ' ')}"
