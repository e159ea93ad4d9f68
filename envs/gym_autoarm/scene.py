"""A scene: everything about the table that an episode can vary, as plain frozen data.

Two equal scenes give bit-identical episodes under the same actions. Lengths are in metres, angles in degrees,
colours RGB in 0..1; x points ahead of the arm, y to its left, z up, from the centre of the arm's base.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, shipped_body
from gym_autoarm.pattern import Pattern

RGB = tuple[float, float, float]
XYZ = tuple[float, float, float]

Shape = Literal["cube", "cylinder", "sphere"]
Surface = Literal["oak", "walnut", "mat", "linen", "plain"]

HOME: Final = (50.0, -98.0, 72.0, 85.0, 90.0, 45.0)
"""Folded beside the work area, gripper half open: the top camera sees cube and box."""


@dataclass(frozen=True)
class Cube:
    """The object to pick: where it lies and what it is.

    `size` is its edge or diameter; `friction` its coefficient on the table and in the box, and the pads grip it with
    half as much again.
    """

    x: float = 0.21
    y: float = 0.055
    yaw: float = 0.0
    size: float = spec.CUBE_SIZE
    shape: Shape = "cube"
    colour: RGB = (0.80, 0.08, 0.07)
    mass: float = 0.030
    friction: float = 1.0


@dataclass(frozen=True)
class Box:
    """The open box: centre of its floor, inner edge length, height of its walls."""

    x: float = spec.BOX_POSITION[0]
    y: float = spec.BOX_POSITION[1]
    yaw: float = 0.0
    inner: float = 0.10
    height: float = 0.04
    wall: float = 0.003
    colour: RGB = (0.16, 0.36, 0.62)


@dataclass(frozen=True)
class Distractor:
    """Something else on the table that must stay there."""

    x: float
    y: float
    yaw: float = 0.0
    size: float = 0.03
    shape: Shape = "cube"
    colour: RGB = (0.15, 0.55, 0.25)


@dataclass(frozen=True)
class Light:
    """A directional light with a shadow, and the ambient level. Keep `diffuse + ambient` at or below 1."""

    direction: XYZ = (-0.35, 0.25, -0.9)
    diffuse: float = 0.55
    ambient: float = 0.42
    tint: RGB = (1.0, 1.0, 1.0)
    shadow: bool = True


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at `position` looking at `target`; `roll` turns it about that axis; `fovy` in degrees."""

    position: XYZ
    target: XYZ
    fovy: float
    roll: float = 0.0


TOP: Final = Camera(position=(0.2, 0.0, 0.72), target=(0.2, 0.0, 0.0), fovy=36.0)
LATERAL: Final = Camera(position=(0.60, 0.28, 0.28), target=(0.17, -0.02, 0.03), fovy=40.0)


@dataclass(frozen=True)
class Scene:
    """One arrangement of the table.

    Attributes:
        surface: The table top, by name or as a pattern.
        start: Joint positions at reset, in the contract's units, `(6,)`.
        image_noise: Standard deviation of the noise added to frames, in grey levels.
        noise_seed: Seed of that noise.
    """

    cube: Cube = field(default_factory=Cube)
    box: Box = field(default_factory=Box)
    distractors: tuple[Distractor, ...] = ()
    light: Light = field(default_factory=Light)
    surface: Surface | Pattern = "oak"
    top: Camera = TOP
    lateral: Camera = LATERAL
    body: Body = field(default_factory=lambda: shipped_body(DEFAULT_BODY))
    start: tuple[float, ...] = HOME
    image_noise: float = 0.0
    noise_seed: int = 0

    def structure(self) -> Scene:
        """The scene without what reset puts into the state: scenes of equal structure share a compiled model."""
        return replace(self, cube=replace(self.cube, x=0.0, y=0.0, yaw=0.0), start=HOME, image_noise=0.0, noise_seed=0)
