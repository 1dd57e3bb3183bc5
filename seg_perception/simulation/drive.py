"""A drive along a simulated street: the robot's poses, the other actors and the camera's images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from seg_perception.errors import ConfigError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.simulation.conditions import Conditions
from seg_perception.simulation.rendering.render import RenderedView, render
from seg_perception.simulation.world.people import person
from seg_perception.simulation.world.solids import Solid, placed
from seg_perception.simulation.world.street import Street
from seg_perception.simulation.world.town import build_world, random_street
from seg_perception.simulation.world.vehicles import cyclist, vehicle
from seg_perception.simulation.world.world import World

START_NS = 1_700_000_000 * 10**9  # stamp of the first image of every drive
_STREET_LENGTH = 125.0  # m of street that a drive may use
_LIDAR_OVER_CAMERA = 0.3  # m
_STEP = 1e-3  # s, for numerical derivatives of the path


@dataclass(frozen=True)
class Robot:
    """A robot: where it drives on the street, how fast, and how steadily.

    Attributes:
        speed: m/s, mean.
        half_width: of the strip that is kept free for it, m.
        mount: x, y, z, roll, pitch, yaw of the camera body in base_link (m, rad); base_link is on the ground.
        sway: sideways wandering, m.
        shake: standard deviation of roll and pitch, rad.
        on_pavement: whether it drives on the left pavement instead of the left lane.
    """

    speed: float
    half_width: float
    mount: tuple[float, float, float, float, float, float]
    sway: float
    shake: float
    on_pavement: bool


ROBOTS: dict[str, Robot] = {
    "car": Robot(6.5, 1.2, (1.0, 0.0, 1.35, 0.0, 0.04, 0.0), 0.25, 0.003, False),
    "pavement": Robot(1.3, 0.55, (0.3, 0.0, 0.75, 0.0, 0.06, 0.0), 0.1, 0.006, True),
}


@dataclass(frozen=True)
class Scenario:
    """All that determines a drive.

    Attributes:
        camera: intrinsics.
        seed: of the world, the weather and the actors' motion.
        duration: s.
        fps: images per second.
        robot: "car" or "pavement".
        vibration: whether roll and pitch of the base shake; odom_from_base reports it, so perception can use it.
        conditions: light and weather; None for what the seed draws.
        crowd: further people next to the robot's strip, on top of those that the seed draws.

    Raises:
        ConfigError: a value is out of range.
    """

    camera: Camera
    seed: int = 0
    duration: float = 10.0
    fps: float = 10.0
    robot: Literal["car", "pavement"] = "car"
    vibration: bool = True
    conditions: Conditions | None = None
    crowd: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.duration <= 600.0 or not 0.0 < self.fps <= 100.0:
            raise ConfigError(
                f"a drive of {self.duration} s at {self.fps} images per second cannot be made; "
                "give a duration up to 600 s and a rate up to 100 per second."
            )
        if self.robot not in ROBOTS:
            raise ConfigError(f"robot '{self.robot}' is not known; use one of {', '.join(ROBOTS)}.")

    @property
    def stamps_ns(self) -> list[int]:
        """Stamps of the images."""
        count = max(1, round(self.duration * self.fps))
        return [START_NS + round(number * 1e9 / self.fps) for number in range(count)]


@dataclass(frozen=True)
class Actor:
    """A moving object: a straight line in street coordinates at constant speed.

    Attributes:
        kind: "person", "cyclist" or "vehicle".
        seed: of its appearance.
        s: along the street at time 0, m.
        d: across the street at time 0, m.
        speed_s: m/s along the street, negative towards the robot's start.
        speed_d: m/s across.
    """

    kind: Literal["person", "cyclist", "vehicle"]
    seed: int
    s: float
    d: float
    speed_s: float
    speed_d: float = 0.0

    def solids(self, street: Street, time: float) -> tuple[Solid, ...]:
        """Its parts in odom at a time (s) of the drive."""
        rng = np.random.default_rng(self.seed)
        speed = math.hypot(self.speed_s, self.speed_d)
        if self.kind == "vehicle":
            parts = vehicle(rng)
        elif self.kind == "cyclist":
            parts = cyclist(rng, phase=-3.0 * speed * time)
        else:
            parts = person(rng, phase=4.2 * speed * time + self.seed % 6)
        x, y, heading = street.pose(self.s + self.speed_s * time, self.d + self.speed_d * time)
        return placed(parts, x, y, heading + math.atan2(self.speed_d, self.speed_s))


@dataclass(frozen=True)
class DriveFrame:
    """One image of a drive.

    Attributes:
        stamp_ns: time of the image, ns.
        odom_from_base: pose of the robot then.
        base_from_optical: pose of the camera on it.
        world: everything as it was then; its `true_classes` give the ground truth of that moment.
        view: the image, its labels and depth.
    """

    stamp_ns: int
    odom_from_base: Transform
    base_from_optical: Transform
    world: World
    view: RenderedView


@dataclass(frozen=True)
class Drive:
    """A drive to render. It gives the pose and the world at any time.

    Attributes:
        scenario: what determines it.
    """

    scenario: Scenario

    @property
    def robot(self) -> Robot:
        """The robot that drives."""
        return ROBOTS[self.scenario.robot]

    @property
    def base_from_optical(self) -> Transform:
        """Pose of the camera on the robot."""
        return mount_to_base_from_optical(*self.robot.mount)

    @property
    def base_from_lidar(self) -> Transform:
        """Pose of the LiDAR on it: upright, over the camera."""
        x, y, z, *_ = self.robot.mount
        return Transform.from_xyz_rpy(x, y, z + _LIDAR_OVER_CAMERA, 0.0, 0.0, 0.0)

    def odom_from_base(self, stamp_ns: int) -> Transform:
        """Pose of the robot at a stamp; also defined a little before and after the drive."""
        time = (stamp_ns - START_NS) * 1e-9
        x, y = self._position(time)
        x_next, y_next = self._position(time + _STEP)
        roll, pitch = self._shake(time) if self.scenario.vibration else (0.0, 0.0)
        return Transform.from_xyz_rpy(x, y, 0.0, roll, pitch, math.atan2(y_next - y, x_next - x))

    def world(self, stamp_ns: int) -> World:
        """The static world with the actors where they are at a stamp."""
        time = (stamp_ns - START_NS) * 1e-9
        static_world, actors = self._world_and_actors
        return static_world.with_solids(part for actor in actors for part in actor.solids(static_world.street, time))

    def frames(self, progress: Callable[[int, int], None] | None = None) -> Iterator[DriveFrame]:
        """Render the drive.

        Args:
            progress: called with (done, all) after each image.

        Yields:
            DriveFrame in the order of time.
        """
        stamps = self.scenario.stamps_ns
        for number, stamp_ns in enumerate(stamps):
            world, pose = self.world(stamp_ns), self.odom_from_base(stamp_ns)
            view = render(world, self.scenario.camera, pose @ self.base_from_optical, frame=number)
            yield DriveFrame(stamp_ns, pose, self.base_from_optical, world, view)
            if progress is not None:
                progress(number + 1, len(stamps))

    @cached_property
    def _world_and_actors(self) -> tuple[World, tuple[Actor, ...]]:
        rng = np.random.default_rng([self.scenario.seed, 2])
        town = float(rng.uniform(0.2, 1.0))
        street = random_street(rng, town)
        center = self._lane_center(street)
        own_lane = (center - self.robot.half_width - self.robot.sway, center + self.robot.half_width + self.robot.sway)
        oncoming = (-0.5 * street.right.road - 1.1, -0.5 * street.right.road + 1.1)
        world = build_world(rng, street, town, (own_lane, oncoming))
        actors = (*self._actors(rng, street, own_lane[0]), *self._crowd(own_lane))
        return replace(world, conditions=self.scenario.conditions or world.conditions), actors

    def _lane_center(self, street: Street) -> float:
        side = street.left
        if self.robot.on_pavement:
            return side.road + side.verge + 0.55 * side.pavement
        return 0.5 * side.road

    def _actors(self, rng: np.random.Generator, street: Street, free_d: float) -> Iterator[Actor]:
        """Oncoming traffic, one actor ahead in the lane, pedestrians on both pavements, one who crosses far ahead."""

        def seed() -> int:
            return int(rng.integers(1 << 30))

        for number in range(int(rng.integers(2, 6))):
            start = 30.0 + 35.0 * number + float(rng.uniform(0.0, 20.0))
            yield Actor("vehicle", seed(), start, -0.5 * street.right.road, -float(rng.uniform(5.0, 9.0)))
        lane = 0.5 * street.left.road
        ahead: Literal["vehicle", "cyclist"] = "vehicle" if rng.random() < 0.6 else "cyclist"
        yield Actor(ahead, seed(), float(rng.uniform(16.0, 30.0)), lane, max(self.robot.speed, 4.0) + 0.3)
        far = street.right
        for _ in range(int(rng.integers(4, 10))):
            d = -(far.road + far.verge + float(rng.uniform(0.5, max(0.6, far.pavement - 0.4))))
            speed = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.9, 1.6))
            yield Actor("person", seed(), float(rng.uniform(5.0, 110.0)), d, speed)
        near = street.left
        for _ in range(int(rng.integers(1, 4))):
            d = near.house_line - 0.3 if not self.robot.on_pavement else free_d - 0.4
            yield Actor("person", seed(), float(rng.uniform(8.0, 80.0)), d, float(rng.uniform(0.8, 1.5)))
        # Crosses early enough to be visible and to be off the lane before the robot arrives.
        s = 18.0 + self.robot.speed * 4.5
        yield Actor("person", seed(), s, -far.road - 0.5, 0.05, 1.5 if not self.robot.on_pavement else 0.5)

    def _crowd(self, own_lane: tuple[float, float]) -> Iterator[Actor]:
        """People who walk along the strip on both sides of it, within 3 m."""
        rng = np.random.default_rng([self.scenario.seed, 8])
        for _ in range(self.scenario.crowd):
            side = float(rng.uniform(0.4, 3.0))
            d = own_lane[0] - side if rng.random() < 0.5 else own_lane[1] + side
            speed = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 1.6))
            yield Actor("person", int(rng.integers(1 << 30)), float(rng.uniform(3.0, 40.0)), d, speed)

    def _position(self, time: float) -> tuple[float, float]:
        """x, y in odom (m) at a time (s): along the lane with a varying speed, wandering a little to the sides."""
        street = self._world_and_actors[0].street
        speed = min(self.robot.speed, _STREET_LENGTH / (1.15 * self.scenario.duration))
        phase = float(self.scenario.seed % 7)
        s = speed * (time + 0.8 * (math.cos(phase) - math.cos(0.5 * time + phase)))
        # A function of the distance, not of time, so that a car can follow the path.
        d = self._lane_center(street) + self.robot.sway * math.sin(2.0 * math.pi * s / 35.0 + phase)
        x, y, _ = street.pose(s, d)
        return x, y

    def _shake(self, time: float) -> tuple[float, float]:
        """Roll and pitch of the base (rad): a few oscillations between 1 and 4 Hz."""
        phase = float(self.scenario.seed % 11)
        scale = self.robot.shake * math.sqrt(2.0 / 1.36)
        roll = scale * (math.sin(7.1 * time + phase) + 0.6 * math.sin(16.3 * time + 2.0 * phase))
        pitch = scale * (math.sin(9.7 * time + 3.0 * phase) + 0.6 * math.sin(23.9 * time + phase))
        return 0.7 * roll, pitch
