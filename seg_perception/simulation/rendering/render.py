"""Images of the simulated world with exact labels and depth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.simulation.conditions import Conditions
from seg_perception.simulation.labels import NO_LABEL, Label
from seg_perception.simulation.rendering.atmosphere import apply_haze, form_image, light_colours, sky_colour
from seg_perception.simulation.rendering.ground_shaders import ground_albedo
from seg_perception.simulation.rendering.noise import F32, value_noise
from seg_perception.simulation.rendering.raycast import GROUND, OUTSIDE, SKY, RayHits, RayTable, cast_rays
from seg_perception.simulation.rendering.shaders import surface_shaders
from seg_perception.simulation.rendering.shadows import ShadowMaps, shadow_maps
from seg_perception.simulation.rendering.surface_shaders import SurfacePoints
from seg_perception.simulation.world.scene import Scene
from seg_perception.simulation.world.solids import FACE_SIDE, SurfaceType
from seg_perception.simulation.world.street import ZONE_LABEL, Zone
from seg_perception.simulation.world.world import World

_ray_table = lru_cache(maxsize=4)(RayTable.of_camera)


@dataclass(frozen=True)
class RenderedView:
    """One image and its ground truth.

    Attributes:
        rgb: uint8 [H, W, 3].
        labels: uint8 [H, W], class index; 255 where the camera has no ray (corners of a fisheye image).
        depth: float32 [H, W], z in the optical frame, m; inf for the sky and where there is no ray.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    depth: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Observation:
    """What a camera observes from one pose, before the image is formed.

    Attributes:
        conditions: of the world.
        light: float32 [H, W, 3], linear.
        solid: int32 [H, W], what each pixel's ray hits; see `raycast.RayHits`.
        labels: as in RenderedView.
        depth: as in RenderedView.
    """

    conditions: Conditions
    light: F32
    solid: NDArray[np.int32]
    labels: NDArray[np.uint8]
    depth: NDArray[np.float32]

    def image(self, frame: int) -> RenderedView:
        """Form the image; `frame`, its number, only changes the noise."""
        rgb = form_image(self.light, _edges(self.solid), self.conditions, frame)
        rgb[self.solid == OUTSIDE] = 0
        return RenderedView(rgb, self.labels, self.depth)


def render(world: World, camera: Camera, odom_from_optical: Transform, frame: int = 0) -> RenderedView:
    """Render one image.

    Args:
        world: what to render.
        camera: of any model.
        odom_from_optical: pose of the camera's optical frame in odom; z of its origin is the height above ground.
        frame: number of the image, which only changes the noise.

    Returns:
        RenderedView in the camera's size. The same arguments give the same bytes.
    """
    return observe(world, camera, odom_from_optical).image(frame)


def observe(world: World, camera: Camera, odom_from_optical: Transform) -> Observation:
    """Render everything but the image's imperfections, which takes most of the time of `render`.

    Labels and depth belong to the ray through each pixel's centre; railings, bicycle wheels and tree crowns count
    as closed surfaces in both, while the image shows what is behind their holes.

    Args:
        world: what to render.
        camera: of any model.
        odom_from_optical: pose of the camera's optical frame in odom.
    """
    table = _ray_table(camera)
    hits = cast_rays(table, world.scene, odom_from_optical)
    light = _light(world, table, hits, odom_from_optical)
    return Observation(
        world.conditions, light, hits.solid, _labels(world, hits, odom_from_optical), _depth(table, hits)
    )


def render_ground_truth(
    world: World, camera: Camera, odom_from_optical: Transform
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels and depth as `render` gives them, without the image, which takes most of the time."""
    table = _ray_table(camera)
    hits = cast_rays(table, world.scene, odom_from_optical)
    return _labels(world, hits, odom_from_optical), _depth(table, hits)


def _depth(table: RayTable, hits: RayHits) -> NDArray[np.float32]:
    depth = hits.outer_distance * table.rays[..., 2]
    depth[~np.isfinite(hits.outer_distance)] = np.inf
    return depth.astype(np.float32)


def _labels(world: World, hits: RayHits, odom_from_optical: Transform) -> NDArray[np.uint8]:
    solid = hits.outer_solid
    labels = np.full(solid.shape, NO_LABEL, np.uint8)
    labels[solid == SKY] = Label.SKY
    ground = solid == GROUND
    origin = odom_from_optical.translation
    points = hits.rays[ground][:, :2] * hits.outer_distance[ground][:, None] + origin[:2]
    by_zone = np.array([ZONE_LABEL[zone] for zone in Zone], np.uint8)
    labels[ground] = by_zone[world.street.zones(*world.street.to_street(points[:, 0], points[:, 1]))]
    on_solid = solid >= 0
    labels[on_solid] = world.scene.label[solid[on_solid]]
    return labels


def _edges(solid: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels next to another solid, the ground or the sky."""
    edges = np.zeros(solid.shape, np.uint8)
    across, down = solid[:, 1:] != solid[:, :-1], solid[1:] != solid[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges.astype(np.bool_)


def _light(world: World, table: RayTable, hits: RayHits, odom_from_optical: Transform) -> F32:
    """Linear light float32 [H, W, 3] that reaches the camera."""
    conditions = world.conditions
    origin = odom_from_optical.translation
    ahead = odom_from_optical.rotation[:2, 2]
    maps = shadow_maps(world, origin[:2], ahead)
    shape = hits.solid.shape
    solid, distance = hits.solid.ravel(), hits.distance.ravel()
    rays = hits.rays.reshape(-1, 3)
    light = np.zeros((solid.size, 3), np.float32)
    sky = np.flatnonzero(solid == SKY)
    light[sky] = sky_colour(rays[sky], conditions)
    lighting = _Lighting(world, maps)
    ground = np.flatnonzero(solid == GROUND)
    if ground.size:
        lit = lighting.ground(rays[ground], distance[ground], origin, table.pixel_angle)
        light[ground] = apply_haze(lit, distance[ground], conditions)
    on_solid = np.flatnonzero(solid >= 0)
    if on_solid.size:
        lit = lighting.solids(
            rays[on_solid], distance[on_solid], solid[on_solid], hits.face.ravel()[on_solid], origin, table.pixel_angle
        )
        light[on_solid] = apply_haze(lit, distance[on_solid], conditions)
    return light.reshape(*shape, 3)


class _Lighting:
    """Sun and sky light on surfaces, scaled so that open ground receives 1."""

    def __init__(self, world: World, maps: ShadowMaps) -> None:
        self.world = world
        self.maps = maps
        conditions = world.conditions
        self.towards_sun = conditions.towards_sun().astype(np.float32)
        sun_colour, sky_light = light_colours(conditions)
        total = 1.0 + conditions.sun * float(self.towards_sun[2])
        self.sun = sun_colour * np.float32(conditions.sun / total)
        self.sky = sky_light * np.float32(1.0 / total)

    def ground(self, rays: F32, distance: F32, origin: NDArray[np.float64], pixel_angle: float) -> F32:
        """Light from points of the ground."""
        x = (rays[:, 0] * distance + np.float32(origin[0])).astype(np.float32)
        y = (rays[:, 1] * distance + np.float32(origin[1])).astype(np.float32)
        across = distance * np.float32(pixel_angle)
        along = across / np.maximum(-rays[:, 2], 1e-3)
        albedo, zone, _ = ground_albedo(self.world.street, x, y, across, along)
        sunlit, ambient_occlusion = self.maps.at_ground(x, y)
        sun = (sunlit * self.towards_sun[2])[:, None] * self.sun
        sky = (1.0 - 0.85 * ambient_occlusion)[:, None] * self.sky
        wetness = self.world.conditions.wetness
        if wetness > 0.0:
            puddle = np.clip(value_noise(0.5 * x, 0.5 * y, 2.0) * 1.6 - 0.8 + wetness, 0.0, 1.0)
            wet = wetness * (0.4 + 0.6 * puddle) * (zone != Zone.GRASS)
            # Schlick's approximation of Fresnel reflection, with water's 2 % at normal incidence.
            mirror = wet * (0.02 + 0.98 * (1.0 - np.clip(-rays[:, 2], 0.0, 1.0)) ** 5) * 0.7
            upward = rays * np.array([1.0, 1.0, -1.0], np.float32)
            reflected = sky_colour(upward, self.world.conditions) * (0.25 + 0.75 * (1.0 - ambient_occlusion))[:, None]
            diffuse = albedo * (1.0 - 0.5 * wet)[:, None] * (sun + sky)
            return np.asarray(diffuse + mirror[:, None] * (reflected - diffuse), np.float32)
        return np.asarray(albedo * (sun + sky), np.float32)

    def solids(
        self,
        rays: F32,
        distance: F32,
        index: NDArray[np.int32],
        face: NDArray[np.int8],
        origin: NDArray[np.float64],
        pixel_angle: float,
    ) -> F32:
        """Light from points of solids."""
        scene = self.world.scene
        points = (rays * distance[:, None] + origin.astype(np.float32)).astype(np.float32)
        local, local_normal, normal = _on_surface(scene, points, index, face)
        facing = np.maximum(np.abs(np.einsum("ni,ni->n", normal, rays)), 0.15)
        footprint = distance * np.float32(pixel_angle) / facing
        albedo = np.empty_like(rays)
        gloss = np.zeros(len(rays), np.float32)
        surface = scene.surface[index]
        for kind, shader in surface_shaders().items():
            here = np.flatnonzero(surface == kind)
            if here.size:
                which = index[here]
                surface_points = SurfacePoints(
                    local[here],
                    local_normal[here],
                    scene.half[which].astype(np.float32),
                    face[here],
                    footprint[here],
                    scene.colour[which],
                    scene.accent[which],
                    scene.pitch[which],
                    scene.storey[which],
                    scene.density[which],
                    scene.seed[which],
                )
                albedo[here], gloss[here] = shader(surface_points)
        leafy = surface == SurfaceType.FOLIAGE
        toward = normal @ self.towards_sun
        # Leaves scatter light through the crown, so they are never as dark on the far side as a wall.
        toward = np.where(leafy, 0.35 + 0.65 * toward, toward)
        direct = np.maximum(toward, 0.0)
        if self.world.conditions.sun > 0.0:
            lit = np.flatnonzero(direct > 0.0)
            direct[lit] *= self.maps.sunlit_above_roofs(points[lit] + 0.05 * normal[lit])
        height = np.clip(points[:, 2] / 6.0, 0.0, 1.0)
        open_sky = (0.55 + 0.45 * normal[:, 2]) * (0.55 + 0.45 * height)
        open_sky = np.where(
            scene.label[index] == Label.CAR, open_sky * np.clip(points[:, 2] / 0.5, 0.25, 1.0), open_sky
        )
        # Light that the sunny ground reflects upwards.
        bounce = np.float32(0.12) * (1.0 - 0.5 * normal[:, 2])
        light = albedo * (direct[:, None] * self.sun + open_sky[:, None] * self.sky + bounce[:, None])
        shiny = np.flatnonzero(gloss > 0.0)
        if shiny.size:
            light[shiny] += self._mirrored(rays[shiny], normal[shiny], gloss[shiny])
        return np.asarray(light, np.float32)

    def _mirrored(self, rays: F32, normal: F32, gloss: F32) -> F32:
        """What lacquer and glass reflect: the sky above, dull surroundings near the horizon, dark ground below."""
        cosine = np.einsum("ni,ni->n", rays, normal)
        reflected = rays - 2.0 * cosine[:, None] * normal
        mirror = gloss + (1.0 - gloss) * 0.35 * (1.0 - np.abs(cosine)) ** 4
        seen = sky_colour(reflected, self.world.conditions)
        open_share = np.clip((reflected[:, 2] - 0.12) * 4.0, 0.0, 1.0)[:, None]
        surroundings = np.where(reflected[:, 2:] > 0.0, np.float32(0.12), np.float32(0.06))
        result: F32 = mirror[:, None] * (surroundings + open_share * (0.8 * seen - surroundings))
        return result


def _on_surface(scene: Scene, points: F32, index: NDArray[np.int32], face: NDArray[np.int8]) -> tuple[F32, F32, F32]:
    """Local point, local normal and world normal, float32 [n, 3] each."""
    rotation = scene.rotation.astype(np.float32)[index]
    offset = points - scene.centre.astype(np.float32)[index]
    local = np.einsum("ni,nij->nj", offset, rotation)
    half = scene.half.astype(np.float32)[index]
    curved = local / half**2
    curved[face == FACE_SIDE, 2] = 0.0
    curved /= np.maximum(np.linalg.norm(curved, axis=1, keepdims=True), 1e-9)
    flat = np.minimum(face, 5)
    cap = np.zeros_like(local)
    cap[:, 2] = np.where(face == 4, 1.0, -1.0)
    is_frustum = scene.shape[index] == 0
    planar = np.where(is_frustum[:, None], scene.local_normals[index, flat], cap)
    local_normal = np.where((face >= FACE_SIDE)[:, None], curved, planar).astype(np.float32)
    return local, local_normal, np.einsum("nij,nj->ni", rotation, local_normal)
