"""Random worlds: a street, the buildings and plants along it, vehicles and people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from seg_perception.simulation.conditions import random_conditions
from seg_perception.simulation.world import furniture
from seg_perception.simulation.world.houses import house, house_style
from seg_perception.simulation.world.people import person
from seg_perception.simulation.world.solids import Solid, placed
from seg_perception.simulation.world.street import Junction, Markings, Side, Street, Zone
from seg_perception.simulation.world.vehicles import bus, cyclist, parked_bicycle, vehicle
from seg_perception.simulation.world.world import CLEARANCE, World

Lane = tuple[float, float]
SolidFactory = Callable[[np.random.Generator], tuple[Solid, ...]]

_START, _END = -25.0, 170.0


def random_street(rng: np.random.Generator, town: float) -> Street:
    """The ground: from a suburban road with verges (town = 0) to a city street (town = 1)."""
    half = float(rng.uniform(3.0, 5.5))

    def side() -> Side:
        verge = float(rng.uniform(0.8, 3.0)) if rng.random() < 0.45 - 0.35 * town else 0.0
        paving = Zone.SLABS if rng.random() < 0.3 + 0.5 * town else Zone.FOOTPATH
        beyond = Zone.GRASS if rng.random() < 0.75 - 0.65 * town else paving
        if rng.random() < 0.05:
            beyond = Zone.ASPHALT
        extra = float(rng.uniform(0.0, 2.2)) if rng.random() < 0.4 else 0.0  # a parking bay or bus lane
        return Side(half + extra, verge, float(rng.uniform(1.4, 3.0 + 1.5 * town)), paving, beyond)

    junctions = []
    s = float(rng.uniform(-5.0, 60.0))
    while s < _END:
        junctions.append(Junction(s, float(rng.uniform(2.6, 4.5)), int(rng.integers(-1, 2))))
        s += float(rng.uniform(35.0, 120.0))
    waves = tuple(
        (float(rng.normal(0.0, size)), length, float(rng.uniform(0.0, 2.0 * math.pi)))
        for size, length in ((1.8, 170.0), (0.5, 80.0))
    )
    crossings = (float(rng.uniform(8.0, 60.0)),) if rng.random() < 0.2 else ()
    markings = Markings(
        centre=str(rng.choice(["dashed", "solid", "double", "none"], p=[0.65, 0.08, 0.1, 0.17])),
        edge=str(rng.choice(["none", "white", "yellow", "double_yellow"], p=[0.45, 0.15, 0.15, 0.25])),
        lanes=(0.5 * half,) if half > 4.8 and rng.random() < 0.5 else (),
        crossings=crossings,
        wear=float(rng.uniform(0.05, 0.8)),
    )
    return Street(side(), side(), waves, tuple(junctions), markings, int(rng.integers(1 << 20)))


def random_world(seed: int | list[int]) -> World:
    """A world drawn from a seed: street, buildings, plants, parked and driving cars, people, light and weather.

    Args:
        seed: anything `numpy.random.default_rng` takes; the same seed gives the same world.

    Returns:
        The world; its street runs along x from about -25 to 170 m.
    """
    rng = np.random.default_rng(seed)
    town = float(rng.beta(0.9, 0.7))
    street = random_street(rng, town)
    return build_world(rng, street, town)


def build_world(rng: np.random.Generator, street: Street, town: float, lanes: Sequence[Lane] = ()) -> World:
    """Build a world along a street.

    Args:
        rng: source of all choices.
        street: the ground.
        town: 0 suburb to 1 city centre.
        lanes: strips of the street (least and greatest d, m) that are kept free of everything below 2.2 m for the
            actors that will move along them; with any, no traffic is placed on the road either.

    Returns:
        The world.
    """
    builder = _Builder(rng, street, town, lanes)
    for left in (True, False):
        builder.build_side(left)
    builder.far_end()
    if not lanes:
        builder.traffic()
    return World(street, tuple(builder.solids), random_conditions(rng))


class _Builder:
    """Places objects in street coordinates; `left` chooses the side, `away` is the distance from the centre line."""

    def __init__(self, rng: np.random.Generator, street: Street, town: float, lanes: Sequence[Lane]) -> None:
        self.rng = rng
        self.lanes = lanes
        self.street = street
        self.town = town
        self.solids: list[Solid] = []

    def put(self, parts: tuple[Solid, ...], s: float, d: float, turn: float = 0.0) -> None:
        """Place an object at street coordinates, turned against the street's direction by `turn` (rad)."""
        x, y, heading = self.street.pose(s, d)
        solids = placed(parts, x, y, heading + turn)
        if s > _END or not self._blocks_a_lane(solids):
            self.solids.extend(solids)

    def _blocks_a_lane(self, solids: tuple[Solid, ...]) -> bool:
        if not self.lanes:
            return False
        corners = np.concatenate([part.corners() for part in solids if part.corners()[:, 2].min() < CLEARANCE])
        _, d = self.street.to_street(corners[:, 0], corners[:, 1])
        return any(d.max() > low and d.min() < high for low, high in self.lanes)

    def blocked(self, s: float, left: bool, margin: float) -> bool:
        """Whether a side road opens here."""
        return any(j.opens(left) and abs(s - j.s) < j.half_width + margin for j in self.street.junctions)

    def build_side(self, left: bool) -> None:
        """All static objects on one side of the street."""
        rng, town = self.rng, self.town
        side = self.street.left if left else self.street.right
        sign = 1.0 if left else -1.0
        facing = 0.0 if left else math.pi  # house fronts look at the street
        setback = float(rng.uniform(0.05, 0.3) if rng.random() < 0.15 + 0.75 * town else rng.uniform(2.5, 12.0))
        if rng.random() < 0.1:
            setback += float(rng.uniform(10.0, 25.0))
        s = _START
        while s < _END:
            style = house_style(rng, town)
            for _ in range(int(rng.integers(1, 6))):
                width = float(rng.uniform(5.0, 9.0 + 10.0 * town))
                middle = s + 0.5 * width
                near = any(self.blocked(middle + step * width, left, 3.0) for step in (-0.5, 0.0, 0.5))
                if near or rng.random() < 0.2 - 0.12 * town:
                    if not near:
                        self.garden(middle, sign, side, setback, width)
                else:
                    parts = house(rng, style, width + 0.02, float(rng.uniform(7.0, 12.0)))
                    self.put(parts, middle, sign * (side.house_line + setback + rng.uniform(0.0, 0.12)), facing)
                    if setback > 2.0:
                        self.garden(middle, sign, side, setback, width)
                s += width
            s += float(rng.uniform(0.0, 9.0) * (1.0 - town) * (rng.random() < 0.7))
        for j in self.street.junctions:  # houses at the end of each side road
            if j.opens(left):
                far = side.house_line + float(rng.uniform(25.0, 45.0))
                self.put(house(rng, house_style(rng, town), 22.0, 8.0), j.s, sign * far, facing)
        self.furnish(left, side, sign, facing)

    def garden(self, s: float, sign: float, side: Side, setback: float, width: float) -> None:
        """The boundary of a plot and its plants."""
        rng = self.rng
        kind = rng.choice(["wall", "hedge", "wood", "railing", "none"], p=[0.3, 0.25, 0.12, 0.13, 0.2])
        length = width * float(rng.uniform(0.6, 1.0))
        makers: dict[str, Callable[[np.random.Generator, float], tuple[Solid, ...]]] = {
            "wall": furniture.garden_wall,
            "hedge": furniture.hedge,
            "wood": furniture.wooden_fence,
            "railing": furniture.railing,
        }
        if kind != "none":
            thickness = 0.45 if kind == "hedge" else 0.15
            self.put(makers[str(kind)](rng, length), s, sign * (side.house_line + thickness))
        room = max(setback, 6.0)
        for _ in range(int(rng.integers(0, 4))):
            maker: SolidFactory = furniture.tree if rng.random() < 0.45 else furniture.bush
            away = side.house_line + float(rng.uniform(1.2, max(1.3, room - 1.0)))
            self.put(maker(rng), s + float(rng.uniform(-0.5, 0.5)) * width, sign * away, float(rng.uniform(0.0, 6.0)))

    def furnish(self, left: bool, side: Side, sign: float, facing: float) -> None:
        """Lamps, signs, street trees, railings, parked cars and people."""
        rng, town = self.rng, self.town
        kerb = side.road + 0.45
        trees = side.verge > 1.0 or (side.pavement > 2.2 and rng.random() < 0.35)

        def scatter(step: float, jitter: float, place: Callable[[float], None], chance: float = 1.0) -> None:
            s = _START + float(rng.uniform(0.0, step))
            while s < 140.0:
                if rng.random() < chance and not self.blocked(s, left, 2.0):
                    place(s)
                s += step + float(rng.uniform(-jitter, jitter))

        def lamp(s: float) -> None:
            self.put(furniture.street_lamp(rng), s, sign * kerb, -sign * 0.5 * math.pi)

        def sign_post(s: float) -> None:
            maker: SolidFactory = furniture.traffic_sign if rng.random() < 0.75 else furniture.traffic_light
            turn = 0.0 if rng.random() < 0.65 else math.pi
            self.put(maker(rng), s, sign * kerb, turn + float(rng.normal(0.0, 0.25)))

        def street_tree(s: float) -> None:
            away = side.road + (0.5 * side.verge if side.verge > 1.0 else 0.8)
            self.put(furniture.tree(rng), s, sign * away, float(rng.uniform(0.0, 6.0)))

        def guard(s: float) -> None:
            length = float(rng.uniform(4.0, 12.0))
            if not self.blocked(s + 0.5 * length, left, 1.0) and not self.blocked(s - 0.5 * length, left, 1.0):
                self.put(furniture.railing(rng, length), s, sign * (side.road + 0.25))

        def post(s: float) -> None:
            for step in range(int(rng.integers(1, 6))):
                self.put(furniture.bollard(rng), s + 1.6 * step, sign * (side.road + 0.5))

        def walker(s: float) -> None:
            for _ in range(1 + int(rng.random() < 0.4) + int(rng.random() < 0.15)):
                away = side.road + side.verge + float(rng.uniform(0.4, max(0.5, side.pavement - 0.3)))
                turn = float(rng.choice([0.0, math.pi])) + float(rng.normal(0.0, 0.4))
                self.put(person(rng, float(rng.uniform(0.0, 6.3))), s + float(rng.normal(0.0, 0.7)), sign * away, turn)

        def bicycle(s: float) -> None:
            self.put(parked_bicycle(rng), s, sign * (side.house_line - 0.4), float(rng.normal(0.0, 0.4)))

        scatter(float(rng.uniform(22.0, 40.0)), 5.0, lamp)
        scatter(18.0, 9.0, sign_post, 0.75)
        if trees:
            scatter(float(rng.uniform(7.0, 18.0)), 3.0, street_tree, 0.85)
        scatter(30.0, 10.0, guard, 0.35)
        scatter(35.0, 10.0, post, 0.35)
        scatter(9.0 if town > 0.4 else 22.0, 6.0, walker, 0.75)
        scatter(30.0, 15.0, bicycle, 0.5)
        self.parked(left, side, sign, facing)

    def parked(self, left: bool, side: Side, sign: float, facing: float) -> None:
        """Cars along the kerb."""
        rng = self.rng
        if rng.random() < 0.3:
            return
        share = float(rng.uniform(0.15, 0.9))
        turn = facing if rng.random() < 0.8 else 0.0
        s = _START
        while s < 120.0:
            if rng.random() < share and not self.blocked(s, left, 3.5):
                inset = -0.5 if rng.random() < 0.1 else 1.0
                self.put(vehicle(rng), s, sign * (side.road - inset), turn + float(rng.normal(0.0, 0.02)))
            s += float(rng.uniform(5.4, 6.6))

    def far_end(self) -> None:
        """Houses and trees at the end of the street."""
        rng = self.rng
        for d in np.arange(-110.0, 111.0, 14.0):
            s = _END + float(rng.uniform(5.0, 45.0))
            if rng.random() < 0.5 + 0.3 * self.town:
                self.put(house(rng, house_style(rng, self.town), 15.0, 10.0), s, float(d), -0.5 * math.pi)
            for _ in range(2):
                at = _END + float(rng.uniform(0.0, 40.0))
                self.put(furniture.tree(rng), at, float(d + rng.uniform(-7.0, 7.0)), 0.0)

    def traffic(self) -> None:
        """Cars and cyclists on the road, people crossing it."""
        rng, street = self.rng, self.street
        for direction, side in ((0.0, street.left), (math.pi, street.right)):
            lane = 0.5 * side.road * (1.0 if direction == 0.0 else -1.0)
            s = float(rng.uniform(6.0, 40.0))
            busy = float(rng.uniform(10.0, 60.0))
            while s < 130.0:
                if rng.random() < 0.7:
                    maker: SolidFactory = bus if rng.random() < 0.05 else vehicle
                    self.put(maker(rng), s, lane + float(rng.normal(0.0, 0.2)), direction)
                else:
                    self.put(cyclist(rng, float(rng.uniform(0.0, 6.0))), s, lane * 1.5, direction)
                s += 7.0 + float(rng.exponential(busy))
        for _ in range(int(rng.poisson(0.7))):
            s, d = float(rng.uniform(5.0, 60.0)), float(rng.uniform(-street.right.road, street.left.road))
            self.put(person(rng, float(rng.uniform(0.0, 6.0))), s, d, float(rng.choice([-1.0, 1.0])) * 0.5 * math.pi)
