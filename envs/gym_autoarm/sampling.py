"""Draw scenes: each quantity from a stream of its own, so that a seed means the same cube whatever else varies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

import numpy as np

from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.scene import HOME, Scene
from gym_autoarm.variation import check_variations, vary

SPOT_JITTER: Final = 0.003
"""Metres, either way, by which a cube misses its spot when placed by hand."""
SPOT_YAW: Final = 8.0
"""Degrees, either way, by which a cube is turned at its spot when placed by hand."""
HOME_NOISE: Final = 1.15
"""Degrees; standard deviation of the arm's position at reset (0.02 rad)."""

_NUMBER: Final = r"(-?\d*\.?\d+)"
_PLACE: Final = re.compile(f"{_NUMBER}:{_NUMBER}(?::{_NUMBER})?")


@dataclass(frozen=True)
class SceneDistribution:
    """How scenes are drawn.

    Attributes:
        cube: `everywhere` in the work area, or at the training `spots`.
        spots: Names out of `spec.SPOTS` to draw from.
        yaw: Largest turn of the cube when it lies anywhere, degrees; 45 is every orientation of a cube.
        spot_jitter: Largest offset from a spot, metres, in x and in y.
        spot_yaw: Largest turn at a spot, degrees.
        area: Bounds of x and of y, metres, between which the cube may lie when it lies anywhere.
        home_noise: Standard deviation of the joint positions at reset, degrees.
        vary: What else is drawn at random, out of `gym_autoarm.variation.VARIATIONS`, or `all`.
        base: Scene from which everything that is not drawn is taken.
    """

    cube: Literal["everywhere", "spots"] = "everywhere"
    spots: tuple[str, ...] = tuple(spec.SPOTS)
    yaw: float = 45.0
    spot_jitter: float = SPOT_JITTER
    spot_yaw: float = SPOT_YAW
    area: spec.Area = spec.WORK_AREA
    home_noise: float = HOME_NOISE
    vary: tuple[str, ...] = ()
    base: Scene = field(default_factory=Scene)

    def __post_init__(self) -> None:
        if self.cube not in ("everywhere", "spots"):
            raise InvalidInputError(
                f"{self.cube!r} is not a way to place the cube", field="cube", cure="choose 'everywhere' or 'spots'"
            )
        for name in self.spots:
            spot_position(name)
        check_variations(self.vary)

    @classmethod
    def of(cls, given: SceneDistribution | Mapping[str, Any] | None) -> SceneDistribution:
        """A distribution from one, from its fields, or from nothing. Raises `InvalidInputError` for unknown fields."""
        if isinstance(given, SceneDistribution):
            return given
        known = [each.name for each in fields(cls)]
        for name in given or {}:
            if name not in known:
                raise InvalidInputError(
                    f"there is no {name!r}", field="distribution", cure=f"choose from {', '.join(known)}"
                )
        return cls(**(given or {}))

    def sample(self, seed: int, spot: str | None = None) -> Scene:
        """The scene of `seed`, with the cube at `spot` if one is named."""
        if spot is not None:
            x, y, yaw = self._at_spot(seed, spot)
        elif self.cube == "spots":
            choice = int(stream(seed, "cube", "spot").integers(len(self.spots)))
            x, y, yaw = self._at_spot(seed, self.spots[choice])
        else:
            x, y, yaw = self._anywhere(seed)
        cube = replace(self.base.cube, x=x, y=y, yaw=yaw)
        start = draw_start(stream(seed, "arm", "start"), HOME, self.home_noise)
        return vary(replace(self.base, cube=cube, start=start, noise_seed=seed), self.vary, seed)

    def _at_spot(self, seed: int, name: str) -> tuple[float, float, float]:
        x, y, yaw = spot_pose(name)
        dx, dy = stream(seed, "cube", "position").uniform(-self.spot_jitter, self.spot_jitter, 2)
        turn = stream(seed, "cube", "yaw").uniform(-self.spot_yaw, self.spot_yaw)
        return x + float(dx), y + float(dy), yaw + float(turn)

    def _anywhere(self, seed: int) -> tuple[float, float, float]:
        (x_low, x_high), (y_low, y_high) = self.area
        x, y = stream(seed, "cube", "position").uniform((x_low, y_low), (x_high, y_high))
        yaw = stream(seed, "cube", "yaw").uniform(-self.yaw, self.yaw)
        return float(x), float(y), float(yaw)


def draw_start(rng: np.random.Generator, usual: Sequence[float], noise: float) -> tuple[float, ...]:
    """Joint positions at reset, `(6,)`: the usual ones, each with noise of this standard deviation, within limits."""
    noisy = np.add(usual, rng.normal(0.0, noise, len(spec.JOINTS)))
    return tuple(float(v) for v in np.clip(noisy, spec.ACTION_LOW, spec.ACTION_HIGH))


def spot_position(name: str) -> tuple[float, float]:
    """Where a spot lies, metres; see `spot_pose`."""
    x, y, _ = spot_pose(name)
    return x, y


def spot_pose(name: str) -> tuple[float, float, float]:
    """Where a spot lies, metres, and how the cube is turned there, degrees.

    Args:
        name: One of `spec.SPOTS`, or a place as `x:y` or `x:y:yaw`, such as `0.2:0.05` or `0.2:0.05:-30`.

    Raises:
        InvalidInputError: For an unknown name.
    """
    if name in spec.SPOTS:
        return *spec.SPOTS[name], 0.0
    if place := _PLACE.fullmatch(name):
        return float(place[1]), float(place[2]), float(place[3] or 0.0)
    raise InvalidInputError(
        f"there is no spot {name!r}",
        field="spot",
        cure=f"choose from {', '.join(spec.SPOTS)}, or give x:y or x:y:yaw in metres and degrees",
    )
