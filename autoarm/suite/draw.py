"""From a suite to episodes: each a function of its axis' seed, its level and its number alone.

Numbers are drawn by NumPy's generators and combined by `math` in a fixed order. BLAS and vectorised functions stay out:
they round differently from one processor to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from autoarm.suite.episodes import Episode
from autoarm.suite.geometry import Point, hull_distance, nearest_distance
from autoarm.suite.suite import BodyChange, BoxChange, CameraChange, LightChange, Placement, Suite, Variation
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import shipped_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import RGB, Box, Camera, Cube, Distractor, Light, Scene, Shape

_INSIDE: Final = 0.002
"""Metres from the border of the hull from which a point is inside it: on the border it would be hard to say."""
_DISTRACTOR_TO_CUBE: Final = 0.072
"""Metres between their middles: beyond the open jaws, wherever they come down."""
_DISTRACTOR_TO_DISTRACTOR: Final = 0.046
_DISTRACTOR_TO_BOX: Final = 0.03
_DISTRACTOR_SHAPES: Final[tuple[Shape, ...]] = ("cube", "cylinder", "sphere")
_DISTRACTOR_COLOURS: Final[tuple[RGB, ...]] = (
    (0.13, 0.50, 0.22),
    (0.12, 0.30, 0.70),
    (0.90, 0.72, 0.10),
    (0.45, 0.20, 0.55),
    (0.15, 0.15, 0.16),
)
"""None is the cube's red: which one is meant can be seen."""
_TRIES: Final = 10_000


def plan_suite(suite: Suite, counts: Mapping[str, int]) -> list[Episode]:
    """The episodes of some axes, level by level; fewer of a level are the first of more.

    Args:
        suite: Where they come from.
        counts: Episodes a level, by axis.
    """
    return [
        episode(suite, axis, level, index)
        for axis, count in counts.items()
        for level in suite.axes[axis].levels
        for index in range(count)
    ]


def episode(suite: Suite, axis: str, level: str, index: int) -> Episode:
    """One episode of a suite, by name and number."""
    seed = int(stream(suite.axes[axis].seed, "episode", level, index).integers(2**32))
    levels = suite.axes[axis].levels
    # Each level begins at another spot, so that the few episodes of a small size cover them all.
    turn = index + list(levels).index(level)
    return Episode(axis, index, seed, draw_scene(suite, levels[level], seed, turn), level)


def draw_scene(suite: Suite, variation: Variation, seed: int, turn: int) -> Scene:
    """The scene of a seed, with the cube at the spot whose turn it is, where it lies at spots.

    Raises:
        InvalidInputError: If nothing fits what is asked for.
    """
    x, y = _cube_position(suite, variation.cube, seed, turn)
    changes = {name: value for name, value in variation.object.model_dump().items() if value is not None}
    cube = replace(Cube(), x=x, y=y, yaw=_signed(seed, "cube yaw", *variation.cube.yaw), **changes)
    usual = SceneDistribution().sample(seed)  # the arm's start and the seed of the noise are those of any scene
    box = Box() if variation.box is None else _moved_box(variation.box, seed)
    surface = variation.surface[int(stream(seed, "suite", "surface").integers(len(variation.surface)))]
    scene = replace(
        usual, cube=cube, box=box, surface=surface, body=_body(variation.body), image_noise=variation.image_noise
    )
    if variation.light is not None:
        scene = replace(scene, light=_light(variation.light, seed))
    if variation.camera is not None:
        top, lateral = (_camera(getattr(scene, name), variation.camera, seed, name) for name in ("top", "lateral"))
        scene = replace(scene, top=top, lateral=lateral)
    return replace(scene, distractors=_distractors(suite, scene, variation.distractors, seed))


def _cube_position(suite: Suite, placement: Placement, seed: int, turn: int) -> Point:
    rng = stream(seed, "suite", "cube position")
    spots = list(suite.spots.values())
    if placement.at == "spots":
        x, y = spots[turn % len(spots)]
        dx, dy = rng.uniform(-placement.jitter, placement.jitter, 2)
        return x + float(dx), y + float(dy)
    for _ in range(_TRIES):
        point = (float(rng.uniform(*suite.area.x)), float(rng.uniform(*suite.area.y)))
        beyond = hull_distance(point, suite.hull)
        if placement.distance is not None:
            if placement.distance[0] <= beyond <= placement.distance[1]:
                return point
        elif beyond <= -_INSIDE and nearest_distance(point, spots) >= placement.clearance:
            return point
    raise InvalidInputError("no place in the area fits", field="cube", cure="ask for less distance or clearance")


def _moved_box(change: BoxChange, seed: int) -> Box:
    angle = math.radians(float(stream(seed, "suite", "box").uniform(*change.towards)))
    box = Box()
    return replace(box, x=box.x + change.offset * math.cos(angle), y=box.y + change.offset * math.sin(angle))


def _body(change: BodyChange) -> Body:
    return replace(shipped_body(change.gains), delay=change.latency / spec.FPS, backlash=change.backlash)


def _light(change: LightChange, seed: int) -> Light:
    usual = Light()
    x, y, _ = usual.direction
    azimuth = math.atan2(y, x) + math.radians(_signed(seed, "light azimuth", 0.0, change.azimuth))
    tilt = math.radians(float(stream(seed, "suite", "light tilt").uniform(*change.tilt)))
    brightness = float(stream(seed, "suite", "light brightness").uniform(*change.brightness))
    weights = stream(seed, "suite", "light tint").uniform(0.0, 1.0, 3)
    lowest, highest = float(min(weights)), float(max(weights))
    red, green, blue = (1.0 - change.tint * ((float(each) - lowest) / (highest - lowest)) for each in weights)
    direction = (math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth), -math.cos(tilt))
    return replace(
        usual,
        direction=direction,
        diffuse=usual.diffuse * brightness,
        ambient=usual.ambient * brightness,
        tint=(red, green, blue),
    )


def _camera(camera: Camera, change: CameraChange, seed: int, name: str) -> Camera:
    def moved(point: tuple[float, float, float], what: str) -> tuple[float, float, float]:
        dx, dy, dz = (float(each) for each in stream(seed, "suite", name, what).normal(size=3))
        # Written out: a norm of BLAS rounds differently from one processor to the next.
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        x, y, z = point
        return (
            x + change.offset * dx / length,
            y + change.offset * dy / length,
            z + change.offset * dz / length,
        )

    roll = _signed(seed, f"{name} roll", change.roll, change.roll)
    return replace(
        camera, position=moved(camera.position, "position"), target=moved(camera.target, "target"), roll=roll
    )


def _distractors(suite: Suite, scene: Scene, count: int, seed: int) -> tuple[Distractor, ...]:
    placed: list[Distractor] = []
    rng = stream(seed, "suite", "distractor position")
    for _ in range(_TRIES):
        if len(placed) == count:
            return tuple(placed)
        point = (float(rng.uniform(*suite.area.x)), float(rng.uniform(*suite.area.y)))
        if _is_free(point, scene, placed):
            kind = stream(seed, "suite", "distractor", len(placed))
            shape = _DISTRACTOR_SHAPES[int(kind.integers(len(_DISTRACTOR_SHAPES)))]
            colour = _DISTRACTOR_COLOURS[int(kind.integers(len(_DISTRACTOR_COLOURS)))]
            placed.append(Distractor(*point, float(kind.uniform(-45.0, 45.0)), shape=shape, colour=colour))
    raise InvalidInputError(f"there is no room for {count}", field="distractors", cure="ask for fewer")


def _is_free(point: Point, scene: Scene, placed: list[Distractor]) -> bool:
    box = scene.box
    beside = max(abs(point[0] - box.x), abs(point[1] - box.y)) - box.inner / 2
    apart = all(math.dist(point, (other.x, other.y)) >= _DISTRACTOR_TO_DISTRACTOR for other in placed)
    clear = math.dist(point, (scene.cube.x, scene.cube.y)) >= _DISTRACTOR_TO_CUBE
    return clear and apart and beside >= _DISTRACTOR_TO_BOX


def _signed(seed: int, name: str, low: float, high: float) -> float:
    """A number whose magnitude lies between two bounds, of either sign."""
    rng = stream(seed, "suite", name)
    return float(rng.choice((-1.0, 1.0)) * rng.uniform(low, high))
