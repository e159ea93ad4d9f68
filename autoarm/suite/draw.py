"""From a suite to episodes: each a function of its axis' seed, its level and its number alone.

Numbers are drawn by NumPy's generators and combined by `math` in a fixed order. BLAS and vectorised functions stay out:
they round differently from one processor to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from autoarm.suite.episodes import Episode
from autoarm.suite.geometry import Point, hull_distance, nearest_distance
from autoarm.suite.suite import BoxChange, CameraChange, LightChange, Placement, Suite, Variation
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import shipped_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import Streams, keyed_stream, stream
from gym_autoarm.sampling import HOME_NOISE, draw_start
from gym_autoarm.scene import HOME, LATERAL, RGB, TOP, Box, Camera, Cube, Distractor, Light, Scene, Shape
from gym_autoarm.variation import UNFOLDING, is_free

_INSIDE: Final = 0.002
"""Metres from the border of the hull from which a point is inside it: on the border it would be hard to say."""
_DISTRACTOR_TO_DISTRACTOR: Final = 0.046
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
_STREAMS: Final = {1: stream, 2: keyed_stream}


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
    drawn = _STREAMS[suite.streams](suite.axes[axis].seed, "episode", level, index)
    seed = int(drawn.integers(2**32))
    levels = suite.axes[axis].levels
    variation = levels[level]
    # Each level begins at another spot, so that the few episodes of a small size cover them all.
    turn = index + list(levels).index(level)
    return Episode(axis, index, seed, draw_scene(suite, variation, seed, turn), level, variation.latency)


def draw_scene(suite: Suite, variation: Variation, seed: int, turn: int) -> Scene:
    """The scene of a seed, with the cube at the spot whose turn it is, where it lies at spots.

    Raises:
        InvalidInputError: If nothing fits what is asked for.
    """
    rng: Streams = partial(_STREAMS[suite.streams], seed)
    x, y = _cube_position(suite, variation.cube, rng, turn)
    changes = {name: value for name, value in variation.object.model_dump().items() if value is not None}
    cube = replace(Cube(), x=x, y=y, yaw=_signed(rng, "cube yaw", *variation.cube.yaw), **changes)
    box = Box() if variation.box is None else _moved_box(variation.box, rng)
    surface = variation.surface[int(rng("suite", "surface").integers(len(variation.surface)))]
    scene = Scene(
        cube=cube,
        box=box,
        surface=surface,
        body=_body(suite, variation),
        start=_start(variation.start, rng),
        image_noise=variation.image_noise,
        noise_seed=seed,
    )
    if variation.light is not None:
        scene = replace(scene, light=_light(variation.light, rng))
    if variation.camera is not None:
        top, lateral = (_camera(*each, variation.camera, rng) for each in (("top", TOP), ("lateral", LATERAL)))
        scene = replace(scene, top=top, lateral=lateral)
    return replace(scene, distractors=_distractors(suite, scene, variation.distractors, rng))


def _cube_position(suite: Suite, placement: Placement, streams: Streams, turn: int) -> Point:
    rng = streams("suite", "cube position")
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


def _moved_box(change: BoxChange, rng: Streams) -> Box:
    angle = math.radians(float(rng("suite", "box").uniform(*change.towards)))
    box = Box()
    return replace(box, x=box.x + change.offset * math.cos(angle), y=box.y + change.offset * math.sin(angle))


def _body(suite: Suite, variation: Variation) -> Body:
    change = variation.body
    body = shipped_body(suite.body_of(change))
    return replace(body, delay=body.delay + change.latency / spec.FPS, backlash=body.backlash + change.backlash)


def _start(most: float, rng: Streams) -> tuple[float, ...]:
    """Where the arm begins: every joint displaced by half of `most` degrees to all of it, and by the usual noise."""
    start = list(HOME)
    if most:
        for place, joint in enumerate(spec.JOINTS[spec.ARM]):
            side = UNFOLDING.get(joint) or float(rng("suite", "start side", joint).choice((-1.0, 1.0)))
            start[place] += side * float(rng("suite", "start", joint).uniform(most / 2, most))
    return draw_start(rng("arm", "start"), start, HOME_NOISE)


def _light(change: LightChange, rng: Streams) -> Light:
    usual = Light()
    x, y, _ = usual.direction
    azimuth = math.atan2(y, x) + math.radians(_signed(rng, "light azimuth", 0.0, change.azimuth))
    tilt = math.radians(float(rng("suite", "light tilt").uniform(*change.tilt)))
    brightness = float(rng("suite", "light brightness").uniform(*change.brightness))
    weights = rng("suite", "light tint").uniform(0.0, 1.0, 3)
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


def _camera(name: str, camera: Camera, change: CameraChange, rng: Streams) -> Camera:
    def moved(point: tuple[float, float, float], what: str) -> tuple[float, float, float]:
        dx, dy, dz = (float(each) for each in rng("suite", name, what).normal(size=3))
        # Written out: a norm of BLAS rounds differently from one processor to the next.
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        x, y, z = point
        return (
            x + change.offset * dx / length,
            y + change.offset * dy / length,
            z + change.offset * dz / length,
        )

    roll = _signed(rng, f"{name} roll", change.roll, change.roll)
    return replace(
        camera, position=moved(camera.position, "position"), target=moved(camera.target, "target"), roll=roll
    )


def _distractors(suite: Suite, scene: Scene, count: int, streams: Streams) -> tuple[Distractor, ...]:
    placed: list[Distractor] = []
    rng = streams("suite", "distractor position")
    for _ in range(_TRIES):
        if len(placed) == count:
            return tuple(placed)
        point = (float(rng.uniform(*suite.area.x)), float(rng.uniform(*suite.area.y)))
        if is_free(point, scene, placed, _DISTRACTOR_TO_DISTRACTOR):
            kind = streams("suite", "distractor", len(placed))
            shape = _DISTRACTOR_SHAPES[int(kind.integers(len(_DISTRACTOR_SHAPES)))]
            colour = _DISTRACTOR_COLOURS[int(kind.integers(len(_DISTRACTOR_COLOURS)))]
            placed.append(Distractor(*point, float(kind.uniform(-45.0, 45.0)), shape=shape, colour=colour))
    raise InvalidInputError(f"there is no room for {count}", field="distractors", cure="ask for fewer")


def _signed(streams: Streams, name: str, low: float, high: float) -> float:
    """A number whose magnitude lies between two bounds, of either sign."""
    rng = streams("suite", name)
    return float(rng.choice((-1.0, 1.0)) * rng.uniform(low, high))
