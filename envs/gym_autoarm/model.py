"""From a scene to a compiled MuJoCo model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.pattern import PIXELS, Pattern, pattern_pixels
from gym_autoarm.scene import RGB, XYZ, Box, Camera, Distractor, Scene, Shape

SUBSTEPS: Final = 16
TIMESTEP: Final = 1.0 / (spec.FPS * SUBSTEPS)
"""Seconds; about the 2 ms of the published models, dividing a control step evenly."""

CUBE: Final = "cube"
BOX: Final = "box"
_PLAIN: Final[RGB] = (0.62, 0.62, 0.60)
_PHOTOGRAPH: Final = 0.6
"""Metres of the table that a picture of a surface covers."""
_SMOOTH: Final = (0.05, 0.005, 0.0001)
"""Friction of table and box: lower than an object's, because MuJoCo takes the larger friction of two surfaces."""
_PAD_FRICTION: Final = 1.5
"""Friction of the pads on an object whose own friction is 1 (assets/so101.xml)."""
_STICKING: Final = (0.999, 0.9999, 0.001, 0.5, 2.0)
"""Impedance of dry friction that holds a joint under load; MuJoCo's default, 0.9, lets it creep by degrees a second."""
_STEEP: Final = math.cos(math.radians(25.0))
_OBJECT: Final = {"contype": 2, "conaffinity": 3}
"""Objects and table collide with everything; the arm (contype 1) collides only with them."""


def compile_scene(scene: Scene, add: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
    """Compile the model of `scene`. The cube's pose and the arm's start belong to the state, not to the model.

    `add` may put more into the model than a scene has, before it is compiled.
    """
    assets = files("autoarm_assets")
    with as_file(assets / "so101.xml") as arm, as_file(assets / "textures") as textures:
        model_spec = mujoco.MjSpec.from_file(str(arm))
        model_spec.modelname = "pick-into-box"
        _set_options(model_spec)
        _set_servos(model_spec, scene)
        _add_table(model_spec, scene, str(textures))
        _add_box(model_spec, scene.box)
        cube = scene.cube
        for pad in ("fixed_pad", "moving_pad"):
            model_spec.geom(pad).friction[0] = _PAD_FRICTION * cube.friction
        _add_object(model_spec, CUBE, cube.shape, cube.size, cube.colour, cube.mass, cube.friction)
        for index, distractor in enumerate(scene.distractors):
            _add_distractor(model_spec, index, distractor)
        _add_light(model_spec, scene)
        for name in spec.CAMERAS:
            _add_camera(model_spec, name, getattr(scene, name))
        if add is not None:
            add(model_spec)
        return model_spec.compile()


def _set_options(model_spec: mujoco.MjSpec) -> None:
    option = model_spec.option
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Elliptic cones with a high ratio of normal to frictional impedance keep a gripped cube from creeping.
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10
    model_spec.visual.quality.shadowsize = 1024
    model_spec.visual.quality.offsamples = 0
    model_spec.visual.quality.numslices = 14
    model_spec.visual.quality.numstacks = 8
    model_spec.visual.quality.numquads = 1
    # Metres around the lamp's axis, once multiplied by the extent: what casts shadows lies within. Less is sharper.
    model_spec.visual.map.shadowclip = 0.7
    model_spec.visual.map.znear = 0.02
    model_spec.visual.map.zfar = 8.0
    model_spec.stat.extent = 0.6
    model_spec.stat.center = (0.2, 0.0, 0.1)
    # Clearing the buffer costs time, so that it is no larger than the largest frame.
    model_spec.visual.global_.offheight, model_spec.visual.global_.offwidth = spec.IMAGE_SIZE


def _set_servos(model_spec: mujoco.MjSpec, scene: Scene) -> None:
    for name, servo in zip(spec.JOINTS, scene.body.servos, strict=True):
        joint = model_spec.joint(name)
        joint.damping[0] = servo.damping
        joint.frictionloss = servo.frictionloss
        joint.armature = servo.armature
        if servo.sticks:
            joint.solimp_friction = _STICKING
        actuator = model_spec.actuator(name)
        actuator.gainprm[0] = servo.kp
        # MuJoCo reads a positive third bias parameter as a damping ratio.
        actuator.biasprm[:3] = 0.0, -servo.kp, servo.kv if servo.damping_ratio else -servo.kv
        actuator.forcerange = (-servo.torque_limit, servo.torque_limit)
        actuator.forcelimited = True


def _add_table(model_spec: mujoco.MjSpec, scene: Scene, textures: str) -> None:
    model_spec.add_texture(
        name="room",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.80, 0.82, 0.85),
        rgb2=(0.55, 0.56, 0.58),
        width=64,
        height=64,
    )
    material = model_spec.add_material(name="table", rgba=(1, 1, 1, 1), specular=0.1, shininess=0.2)
    surface = scene.surface
    if surface == "plain":
        material.rgba = (*_PLAIN, 1)
    else:
        flat = mujoco.mjtTexture.mjTEXTURE_2D
        if isinstance(surface, Pattern):
            pixels = pattern_pixels(surface).ravel().tolist()
            model_spec.add_texture(name="table", type=flat, width=PIXELS, height=PIXELS, nchannel=3, data=pixels)
            repeat = surface.repeat
        else:
            model_spec.add_texture(name="table", type=flat, file=f"{textures}/{surface}.png")
            repeat = _PHOTOGRAPH
        roles = [""] * mujoco.mjtTextureRole.mjNTEXROLE
        roles[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
        material.textures = roles
        material.texrepeat = (1 / repeat, 1 / repeat)
        material.texuniform = True
    model_spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(1.2, 1.2, 0.1),
        pos=(0.3, 0.0, 0.0),
        material="table",
        friction=_SMOOTH,
        **_OBJECT,
    )


def _add_box(model_spec: mujoco.MjSpec, box: Box) -> None:
    body = model_spec.worldbody.add_body(name=BOX, pos=(box.x, box.y, 0.0), quat=yaw_quaternion(box.yaw))
    half, thin, tall = box.inner / 2, box.wall / 2, box.height / 2
    centre = half + thin
    parts: list[tuple[XYZ, XYZ]] = [
        ((0, 0, thin), (half, half, thin)),
        ((centre, 0, tall), (thin, half + box.wall, tall)),
        ((-centre, 0, tall), (thin, half + box.wall, tall)),
        ((0, centre, tall), (half, thin, tall)),
        ((0, -centre, tall), (half, thin, tall)),
    ]
    for pos, size in parts:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=size, rgba=(*box.colour, 1), friction=_SMOOTH, **_OBJECT
        )


def _add_object(
    model_spec: mujoco.MjSpec, name: str, shape: Shape, size: float, colour: RGB, mass: float, friction: float
) -> mujoco.MjsBody:
    body = model_spec.worldbody.add_body(name=name, pos=(0, 0, size / 2))
    body.add_freejoint(name=name)
    half = size / 2
    kinds: dict[Shape, tuple[mujoco.mjtGeom, XYZ]] = {
        "cube": (mujoco.mjtGeom.mjGEOM_BOX, (half, half, half)),
        "cylinder": (mujoco.mjtGeom.mjGEOM_CYLINDER, (half, half, 0.0)),
        "sphere": (mujoco.mjtGeom.mjGEOM_SPHERE, (half, 0.0, 0.0)),
    }
    kind, dimensions = kinds[shape]
    body.add_geom(
        name=name,
        type=kind,
        size=dimensions,
        rgba=(*colour, 1),
        mass=mass,
        condim=4,
        # Rolling friction keeps round objects from rolling off a table that is never level in reality.
        friction=(friction, 0.005, 0.0005),
        solref=(0.01, 1),
        **_OBJECT,
    )
    return body


def _add_distractor(model_spec: mujoco.MjSpec, index: int, distractor: Distractor) -> None:
    body = _add_object(
        model_spec, f"distractor{index}", distractor.shape, distractor.size, distractor.colour, 0.03, 1.0
    )
    body.pos = (distractor.x, distractor.y, distractor.size / 2)
    body.quat = yaw_quaternion(distractor.yaw)


def _add_light(model_spec: mujoco.MjSpec, scene: Scene) -> None:
    light, tint = scene.light, np.asarray(scene.light.tint)
    headlight = model_spec.visual.headlight
    headlight.ambient = tuple(light.ambient * tint)
    headlight.diffuse = (0.0, 0.0, 0.0)
    headlight.specular = (0.0, 0.0, 0.0)
    direction = np.asarray(light.direction) / np.linalg.norm(light.direction)
    model_spec.worldbody.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=tuple(np.array([0.2, 0.0, 0.1]) - 0.9 * direction),
        dir=tuple(direction),
        diffuse=tuple(light.diffuse * tint),
        specular=tuple(0.25 * tint),
        castshadow=light.shadow,
    )


def _add_camera(model_spec: mujoco.MjSpec, name: str, camera: Camera) -> None:
    model_spec.worldbody.add_camera(name=name, pos=camera.position, quat=camera_quaternion(camera), fovy=camera.fovy)


def yaw_quaternion(yaw: float) -> tuple[float, float, float, float]:
    """Quaternion (w, x, y, z) of a turn by `yaw` degrees about the vertical."""
    half = math.radians(yaw) / 2
    return math.cos(half), 0.0, 0.0, math.sin(half)


def camera_quaternion(camera: Camera) -> NDArray[np.float64]:
    """Orientation (w, x, y, z) of a MuJoCo camera (looking along -z, y up in the image).

    The image's upward direction is as vertical as it can be; for a camera that looks down, within 25 degrees, it is as
    near as can be to +x, away from the arm's base: such a camera must not spin when it is tilted a little.
    """
    back = _unit(np.subtract(camera.position, camera.target))
    up = np.array([0.0, 0.0, 1.0]) if abs(back[2]) < _STEEP else np.array([1.0, 0.0, 0.0])
    right = _unit(np.cross(up, back))
    above = np.cross(back, right)
    roll = math.radians(camera.roll)
    x = math.cos(roll) * right + math.sin(roll) * above
    y = math.cos(roll) * above - math.sin(roll) * right
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.column_stack([x, y, back]).ravel())
    return quaternion


def _unit(vector: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(vector, np.float64)
    return array / np.linalg.norm(array)
