"""Scenes that differ from the usual one in anything but the cube's place, drawn at random: what a robust policy sees.

Each quantity has streams of its own, so that varying one more changes none of the others. What the benchmark's suites
set are single values, a list of names, or draws from other streams; here names and colours are others, and numbers come
from continuous ranges.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, get_args

import numpy as np

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.pattern import KINDS, Pattern
from gym_autoarm.rng import Streams, keyed_stream
from gym_autoarm.scene import RGB, Camera, Distractor, Scene, Shape

SHARE: Final = 0.5
"""How often a quantity differs from the usual: single changes and the usual scene are to be seen, too."""

_CONTRAST: Final = 0.3
"""Least distance of the cube's colour from those of the table, in RGB: it must be there to be seen."""
_OAK: Final[RGB] = (0.66, 0.51, 0.35)
"""Mean colour of the usual table top (assets/textures/oak.png)."""

_SIZES: Final = (0.022, 0.043)
"""Metres: what the gripper holds and the expert grasps."""
_DISTRACTOR_SIZES: Final = (0.020, 0.040)
_MOST_DISTRACTORS: Final = 3
_DISTRACTOR_SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
# The frozen suites' distractors rest on these two, and their starts on `UNFOLDING`: neither may change.
_DISTRACTOR_TO_CUBE: Final = 0.072
"""Metres between their middles: beyond the open jaws, wherever they come down."""
_DISTRACTOR_TO_BOX: Final = 0.03
_DISTRACTOR_TO_DISTRACTOR: Final = 0.05
_TRIES: Final = 1000
_NOT_RED: Final = (0.08, 0.92)
"""Hues that distractors have: the usual cube's red, 0, is told from them."""
_TILT: Final = (10.0, 55.0)
_BRIGHTNESS: Final = (0.5, 1.0)
_TINT: Final = 0.3
_CAMERA_OFFSET: Final = 0.05
_CAMERA_ROLL: Final = 5.0
_BOX_OFFSET: Final = 0.07
_START: Final = 45.0
UNFOLDING: Final = {"shoulder_lift": 1.0, "elbow_flex": -1.0, "wrist_flex": -1.0}
"""Directions in which these joints leave the folded start: up and away from table, box and base. The others turn either
way."""
_NOISE: Final = 16.0
_SERVO_CHANGES: Final = ((-0.6, 0.8), (-0.6, 0.1), (-1.0, 1.0))
"""Bounds of the binary logarithm of what stiffness, strength and dry friction are multiplied by."""
_DELAY: Final = 0.12
_BACKLASH: Final = 1.0
_DIGITS: Final = 4


def _object(scene: Scene, rng: Streams) -> Scene:
    size = float(rng("object", "size").uniform(*_SIZES))
    colour = _colour_unlike(_OAK, rng("object", "colour"))
    return replace(scene, cube=replace(scene.cube, size=size, colour=colour))


def _light(scene: Scene, rng: Streams) -> Scene:
    azimuth = float(rng("light", "azimuth").uniform(-math.pi, math.pi))
    tilt = math.radians(float(rng("light", "tilt").uniform(*_TILT)))
    brightness = float(rng("light", "brightness").uniform(*_BRIGHTNESS))
    red, green, blue = (float(1 - share) for share in rng("light", "tint").uniform(0, _TINT, 3))
    light = replace(
        scene.light,
        direction=(math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth), -math.cos(tilt)),
        diffuse=scene.light.diffuse * brightness,
        ambient=scene.light.ambient * brightness,
        tint=(red, green, blue),
    )
    return replace(scene, light=light)


def _surface(scene: Scene, rng: Streams) -> Scene:
    draw = rng("surface")
    kind = KINDS[int(draw.integers(len(KINDS)))]
    cube = scene.cube.colour
    first, second = _colour_unlike(cube, draw), _colour_unlike(cube, draw)
    # Half of them are nearly of one colour, as most tables are.
    if draw.uniform() < 0.5:
        second = _mixed(first, second, float(draw.uniform(0, 0.3)))
    surface = Pattern(kind, first, second, float(draw.uniform(0.1, 0.8)), int(draw.integers(2**31)))
    return replace(scene, surface=surface)


def _camera(scene: Scene, rng: Streams) -> Scene:
    return replace(scene, top=_moved(scene.top, rng, "top"), lateral=_moved(scene.lateral, rng, "lateral"))


def _moved(camera: Camera, rng: Streams, name: str) -> Camera:
    def beside(point: tuple[float, float, float], what: str) -> tuple[float, float, float]:
        draw = rng("camera", name, what)
        x, y, z = (float(each) for each in draw.normal(size=3))
        share = float(draw.uniform(0, _CAMERA_OFFSET)) / math.sqrt(x * x + y * y + z * z)
        return point[0] + share * x, point[1] + share * y, point[2] + share * z

    roll = camera.roll + float(rng("camera", name, "roll").uniform(-_CAMERA_ROLL, _CAMERA_ROLL))
    return replace(
        camera, position=beside(camera.position, "position"), target=beside(camera.target, "target"), roll=roll
    )


def _box(scene: Scene, rng: Streams) -> Scene:
    draw = rng("box")
    angle, offset = float(draw.uniform(-math.pi, math.pi)), float(draw.uniform(0, _BOX_OFFSET))
    x, y = scene.box.x + offset * math.cos(angle), scene.box.y + offset * math.sin(angle)
    return replace(scene, box=replace(scene.box, x=x, y=y, colour=_colour(draw)))


def _start(scene: Scene, rng: Streams) -> Scene:
    start = list(scene.start)
    for place, joint in enumerate(spec.JOINTS[spec.ARM]):
        draw = rng("start", joint)
        low = 0.0 if joint in UNFOLDING else -_START
        start[place] += UNFOLDING.get(joint, 1.0) * float(draw.uniform(low, _START))
    return replace(scene, start=tuple(float(v) for v in np.clip(start, spec.ACTION_LOW, spec.ACTION_HIGH)))


def _noise(scene: Scene, rng: Streams) -> Scene:
    return replace(scene, image_noise=float(rng("noise").uniform(0, _NOISE)))


def _body(scene: Scene, rng: Streams) -> Scene:
    draw = rng("body")
    stiffness, strength, rubbing = (2.0 ** float(draw.uniform(*bounds)) for bounds in _SERVO_CHANGES)
    servos = tuple(
        replace(
            servo,
            kp=_rounded(servo.kp * stiffness),
            saturation=_rounded(servo.saturation / stiffness),
            torque_limit=_rounded(servo.torque_limit * strength),
            frictionloss=_rounded(servo.frictionloss * rubbing),
        )
        for servo in scene.body.servos
    )
    body: Body = replace(
        scene.body,
        servos=servos,
        delay=scene.body.delay + _rounded(float(draw.uniform(0, _DELAY))),
        backlash=scene.body.backlash + _rounded(float(draw.uniform(0, _BACKLASH))),
    )
    return replace(scene, body=body)


def _distractors(scene: Scene, rng: Streams) -> Scene:
    """One to three other objects, none of the usual cube's hue; none beside a cube that has another colour itself."""
    place = rng("distractors", "places")
    placed: list[Distractor] = []
    for _ in range(int(rng("distractors", "count").integers(1, _MOST_DISTRACTORS + 1))):
        draw = rng("distractors", len(placed))
        point = _free_place(scene, placed, place)
        if point is None:
            break
        placed.append(
            Distractor(
                *point,
                yaw=float(draw.uniform(-45, 45)),
                size=float(draw.uniform(*_DISTRACTOR_SIZES)),
                shape=_DISTRACTOR_SHAPES[int(draw.integers(len(_DISTRACTOR_SHAPES)))],
                colour=_colour(draw, _NOT_RED),
            )
        )
    return replace(scene, distractors=tuple(placed))


def _free_place(scene: Scene, placed: Sequence[Distractor], rng: np.random.Generator) -> tuple[float, float] | None:
    x_range, y_range = spec.WORK_AREA
    for _ in range(_TRIES):
        point = float(rng.uniform(*x_range)), float(rng.uniform(*y_range))
        if is_free(point, scene, placed, _DISTRACTOR_TO_DISTRACTOR):
            return point
    return None


def is_free(point: tuple[float, float], scene: Scene, placed: Sequence[Distractor], apart: float) -> bool:
    """Whether a distractor may lie at a point: clear of cube and box, and so many metres from the others placed."""
    box = scene.box
    beside = max(abs(point[0] - box.x), abs(point[1] - box.y)) - box.inner / 2
    clear = math.dist(point, (scene.cube.x, scene.cube.y)) >= _DISTRACTOR_TO_CUBE
    return clear and beside >= _DISTRACTOR_TO_BOX and all(math.dist(point, (o.x, o.y)) >= apart for o in placed)


def _colour(rng: np.random.Generator, hues: tuple[float, float] = (0.0, 1.0)) -> RGB:
    return colorsys.hsv_to_rgb(*(float(rng.uniform(*bounds)) for bounds in (hues, (0.0, 1.0), (0.1, 0.95))))


def _colour_unlike(other: RGB, rng: np.random.Generator) -> RGB:
    """A colour that an object of the other colour can be told from."""
    while math.dist(colour := _colour(rng), other) < _CONTRAST:
        pass
    return colour


def _mixed(first: RGB, second: RGB, share: float) -> RGB:
    red, green, blue = (one + share * (other - one) for one, other in zip(first, second, strict=True))
    return red, green, blue


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


# In this order: the box is where distractors are not.
VARIATIONS: Final[dict[str, Callable[[Scene, Streams], Scene]]] = {
    "object": _object,
    "light": _light,
    "surface": _surface,
    "camera": _camera,
    "box": _box,
    "start": _start,
    "noise": _noise,
    "body": _body,
    "distractors": _distractors,
}
"""What can be varied, by name."""

APPEARANCE: Final = ("light", "surface", "camera", "noise")
"""Variations that change the frames alone: the arm and the cube move as they do without."""


def check_variations(names: Sequence[str]) -> tuple[str, ...]:
    """The names, in the order of `VARIATIONS`; `all` stands for all of them. Raises `InvalidInputError`."""
    if list(names) == ["all"]:
        return tuple(VARIATIONS)
    for name in names:
        if name not in VARIATIONS:
            raise InvalidInputError(
                f"no scene has a {name!r} to vary",
                field="vary",
                cure=f"all, or some of {', '.join(VARIATIONS)}",
            )
    return tuple(name for name in VARIATIONS if name in names)


def vary(scene: Scene, names: Sequence[str], seed: int) -> Scene:
    """A scene with some quantities drawn at random, each in `SHARE` of the seeds.

    Args:
        scene: Everything else is as it is here.
        names: What is drawn, out of `VARIATIONS`.
        seed: Seed of the draws.

    Raises:
        InvalidInputError: For an unknown name.
    """
    for name in check_variations(names):
        rng: Streams = partial(keyed_stream, seed, "vary", name)
        if name == "distractors" and scene.cube.colour != Scene().cube.colour:
            continue  # nothing would tell which object is meant
        if rng("whether").uniform() < SHARE:
            scene = VARIATIONS[name](scene, rng)
    return scene
