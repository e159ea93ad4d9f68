"""`gym_autoarm/PickIntoBox-v0`: the simulated arm, the cube and the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.actuation import Actuation
from gym_autoarm.errors import InvalidActionError, InvalidInputError
from gym_autoarm.kinematics import from_radians, to_radians
from gym_autoarm.model import CUBE, SUBSTEPS, yaw_quaternion
from gym_autoarm.rendering import Frame, check_image_size
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.scene_cache import SceneCache
from gym_autoarm.task import TaskMonitor, body_pose, box_pose

Observation = dict[str, Any]
Action = NDArray[np.float32]
Step = tuple[Observation, float, bool, bool, dict[str, Any]]

_SETTLE_STEPS = 3
"""Control steps that the arm holds still before an episode, so that it starts at rest under gravity."""


class PickIntoBoxEnv(gym.Env[Observation, Action]):
    """Pick up the cube and put it in the box.

    ## Description

    An SO-101 arm on a table picks up a cube of 3 cm and puts it in an open box. Two cameras, `top` and `lateral`, look
    at the table. Control runs at 30 Hz, physics in MuJoCo at 480 Hz. What simulation, real arm, datasets and policies
    share is defined in `gym_autoarm.spec`. An environment can be pickled, in the middle of an episode too.

    ## Action space

    `Box(float32, (6,))`: goal positions of the joints, in degrees from the middle of each joint's calibrated range, and
    0 (closed) to 100 (open) for the gripper. Goals outside the bounds are clipped; NaN, infinity or another shape raise
    `InvalidActionError` before anything moves.

    | num | joint         | unit    | low       | high     |
    |-----|---------------|---------|-----------|----------|
    | 0   | shoulder_pan  | degrees | -110.0    | 110.0    |
    | 1   | shoulder_lift | degrees | -100.0    | 100.0    |
    | 2   | elbow_flex    | degrees | -96.8299  | 96.8299  |
    | 3   | wrist_flex    | degrees | -95.0     | 95.0     |
    | 4   | wrist_roll    | degrees | -157.2109 | 162.7891 |
    | 5   | gripper       | % open  | 0.0       | 100.0    |

    ## Observation space

    `Dict`; `height` and `width` are those of `image_size`.

    | key              | type    | shape                | low            | high            | content              |
    |------------------|---------|----------------------|----------------|-----------------|----------------------|
    | `pixels/top`     | uint8   | `(height, width, 3)` | 0              | 255             | RGB frame from above |
    | `pixels/lateral` | uint8   | `(height, width, 3)` | 0              | 255             | RGB frame from aside |
    | `agent_pos`      | float32 | `(6,)`               | action's - 15  | action's + 15   | joint positions      |

    ## Rewards

    1 on the step on which the episode succeeds, 0 on all others; `step_chunk` returns the sum.

    ## Starting state

    `distribution` draws the scene from the seed. By default the cube lies anywhere in the work area (x 0.15 to 0.27 m
    ahead of the arm's base, y -0.06 to 0.14 m to its left), turned by up to 45 degrees either way; the box stands at
    (0.17, -0.155) m; the arm is in its home position, with normal noise of 1.15 degrees on each joint. The arm then
    holds still for three steps, so that it is at rest.

    ## Episode end

    - Terminated on success: for six steps the cube has been at rest in the box, the gripper open by more than 15 %, and
      no part of the arm touching the cube.
    - Truncated after `time_limit` steps.

    ## Info

    Poses are position (metres) and quaternion (w, x, y, z). Paths have one row for each step of the call (`step`: one;
    `step_chunk`: as many as were taken), and after `reset` one row, the start.

    | key            | type                  | content                                                           |
    |----------------|-----------------------|-------------------------------------------------------------------|
    | `is_success`   | bool                  | whether the episode has succeeded                                 |
    | `stage`        | str                   | furthest stage entered: reach, grasp, lift or place               |
    | `steps`        | int                   | number of actions taken by this call; 0 after `reset`             |
    | `clipped`      | bool `(6,)`           | joints whose goals were clipped in this call                      |
    | `limited`      | dict of int           | how many of the call's goals each of `spec.LIMITS` changed        |
    | `cube_pose`    | float64 `(7,)`        | pose of the cube                                                  |
    | `box_pose`     | float64 `(7,)`        | pose of the box                                                   |
    | `gripper_pose` | float64 `(7,)`        | pose of the gripper                                               |
    | `cube_size`    | float                 | edge length or diameter of the cube, metres                       |
    | `body`         | Body                  | how the arm answers: `gym_autoarm.body.Body`                      |
    | `overloaded`   | bool                  | whether the gripper's protection against overload holds it back   |
    | `grasp_path`   | float32 `(steps, 3)`  | positions of the point between the fingertips, metres             |
    | `cube_path`    | float32 `(steps, 3)`  | positions of the cube's centre, metres                            |
    | `joint_path`   | float32 `(steps, 6)`  | joint positions, in the units of the action                       |

    ## Arguments

    | argument       | default      | meaning                                                                          |
    |----------------|--------------|----------------------------------------------------------------------------------|
    | `image_size`   | `(480, 640)` | height and width of the frames, at most the default                              |
    | `cameras`      | `True`       | `False` leaves `pixels` black and needs no OpenGL: for policies that do not look |
    | `distribution` | `None`       | a `SceneDistribution`, or its fields as a mapping: how `reset` draws scenes      |
    | `time_limit`   | `300`        | number of steps after which the episode is truncated                             |
    | `render_mode`  | `None`       | `rgb_array`: `render()` returns both frames side by side                         |
    | `scene_cache`  | `None`       | models and renderers to share with environments of equal `image_size` and thread |

    ## Options of reset

    Other options are ignored, because wrappers and vector environments pass their own.

    | option     | type             | meaning                                                                     |
    |------------|------------------|-----------------------------------------------------------------------------|
    | `scene`    | `Scene`          | the scene, instead of a drawn one                                           |
    | `spot`     | str              | name of a spot in `spec.SPOTS`, or `x:y` or `x:y:yaw`: the cube lies there  |
    | `cube_xy`  | two floats       | position of the cube, metres                                                |
    | `cube_yaw` | float            | turn of the cube about the vertical, degrees                                |

    ## Version history

    - v0: first version.
    """

    # Gymnasium declares it an attribute of instances.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": spec.FPS}  # noqa: RUF012

    def __init__(
        self,
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
        cameras: bool = True,
        distribution: SceneDistribution | Mapping[str, Any] | None = None,
        time_limit: int = spec.TIME_LIMIT,
        render_mode: Literal["rgb_array"] | None = None,
        scene_cache: SceneCache | None = None,
    ) -> None:
        if time_limit < 1:
            raise InvalidInputError(f"{time_limit} steps are no episode", field="time_limit", cure="at least 1")
        if render_mode not in (None, "rgb_array"):
            raise InvalidInputError(f"{render_mode!r} is not supported", field="render_mode", cure="use 'rgb_array'")
        self.image_size = check_image_size(image_size)
        self.cameras = cameras
        self.distribution = SceneDistribution.of(distribution)
        self.render_mode = render_mode
        # Names that LeRobot asks an environment for.
        self._max_episode_steps = time_limit
        self.task = spec.TASK
        self.task_description = spec.TASK
        self.action_space = spec.action_space()  # type: ignore[assignment]  # a Box of any float
        self.observation_space = spec.observation_space(self.image_size)
        self._scenes = scene_cache or SceneCache(self.image_size)

    # -- Gymnasium ---------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; the docstring of the class lists the options."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**32))
        self._use(self._scene_for(seed, options or {}))
        return self._observation(), self._info([self._positions()], [self._joints()])

    def step(self, action: Action) -> Step:
        """Move towards the goal positions `action` for one control step."""
        return self.step_chunk(np.asarray(action)[None])

    def step_chunk(self, actions: NDArray[np.floating]) -> Step:
        """Take several actions `(n, 6)` and render once, at the end: the same physics as `n` calls of `step`.

        Stops early when the episode ends. The reward is the sum; `info["steps"]` is the number of actions taken.

        Raises:
            InvalidActionError: Before anything moves, if a component is not a number.
        """
        goals = check_actions(actions)
        reward = 0.0
        track, joints = [], []
        self._clipped = np.zeros(len(spec.JOINTS), bool)
        self._out_of_range = 0
        for goal in goals:
            self._advance(goal)
            track.append(self._positions())
            joints.append(self._joints())
            terminated = self._monitor.is_success
            truncated = not terminated and self._elapsed >= self._max_episode_steps
            reward += float(terminated)
            if terminated or truncated:
                break
        info = {**self._info(track, joints), "steps": len(track)}
        return self._observation(), reward, terminated, truncated, info

    def render(self) -> Frame | None:
        """Both frames side by side, uint8 `(height, 2 * width, 3)`, in render mode `rgb_array`; otherwise `None`."""
        if self.render_mode is None:
            return None
        return np.concatenate([self.frame(camera) for camera in spec.CAMERAS], axis=1)

    def close(self) -> None:
        """Free the GL context."""
        self._scenes.close()

    # -- What simulation offers beyond the contract ------------------------------------------------------------------

    @property
    def scene(self) -> Scene:
        """The scene of the present episode."""
        return self._scene

    def frame(self, camera: str) -> Frame:
        """The present frame of one camera, uint8 `(height, width, 3)`, image noise included."""
        frame = self._scenes.renderer(self._scene).render(self.data, camera)
        if self._scene.image_noise:
            # Keyed by the step, so that a frame is the same whether or not earlier ones were looked at.
            rng = stream(self._scene.noise_seed, "image", camera, self._elapsed)
            noisy = frame + rng.normal(0.0, self._scene.image_noise, frame.shape)
            frame = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        return frame

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _scene_for(self, seed: int, options: Mapping[str, Any]) -> Scene:
        scene = options.get("scene")
        if scene is None:
            scene = self.distribution.sample(seed, options.get("spot"))
        elif not isinstance(scene, Scene):
            raise InvalidInputError(f"a {type(scene).__name__} is not a Scene", field="options['scene']")
        cube = scene.cube
        if "cube_xy" in options:
            x, y = _numbers(options, "cube_xy", 2)
            cube = replace(cube, x=x, y=y)
        if "cube_yaw" in options:
            (yaw,) = _numbers(options, "cube_yaw", 1)
            cube = replace(cube, yaw=yaw)
        return replace(scene, cube=cube)

    def _use(self, scene: Scene) -> None:
        self.model = self._scenes.model(scene)
        self._scene = scene
        self._grasp_site, self._cube_body = self.model.site("grasp").id, self.model.body(CUBE).id
        self._elapsed = 0
        # A fresh MjData rather than a reset one: nothing of the last episode can survive in it.
        self.data = mujoco.MjData(self.model)
        start = np.asarray(scene.start)
        self.data.qpos[: len(spec.JOINTS)] = to_radians(start)
        cube = self.model.joint(CUBE).qposadr[0]
        self.data.qpos[cube : cube + 7] = (
            scene.cube.x,
            scene.cube.y,
            scene.cube.size / 2,
            *yaw_quaternion(scene.cube.yaw),
        )
        self._actuation = Actuation(scene.body, start)
        self._clipped = np.zeros(len(spec.JOINTS), bool)
        self._out_of_range = 0
        self._monitor = TaskMonitor(self.model, scene)
        self._actuation.hold(self.data)
        mujoco.mj_step(self.model, self.data, _SETTLE_STEPS * SUBSTEPS)
        mujoco.mj_forward(self.model, self.data)

    def _advance(self, goal: NDArray[np.float64]) -> None:
        limited = np.clip(goal, spec.ACTION_LOW, spec.ACTION_HIGH)
        changed = limited != goal
        self._clipped |= changed
        self._out_of_range += bool(changed.any())
        self._actuation.step(self.model, self.data, limited)
        # Positions and contacts of the new state, for the monitor and the renderer.
        mujoco.mj_forward(self.model, self.data)
        self._elapsed += 1
        self._monitor.update(self.data)

    def _observation(self) -> Observation:
        if self.cameras:
            pixels = {camera: self.frame(camera) for camera in spec.CAMERAS}
        else:
            pixels = {camera: np.zeros((*self.image_size, 3), np.uint8) for camera in spec.CAMERAS}
        position = from_radians(self.data.qpos[: len(spec.JOINTS)]).astype(np.float32)
        space = self.observation_space["agent_pos"]  # type: ignore[index]
        return {"pixels": pixels, "agent_pos": np.clip(position, space.low, space.high)}

    def _positions(self) -> NDArray[np.float32]:
        # By number: a look-up by name costs as much as a control step of physics.
        return np.stack([self.data.site_xpos[self._grasp_site], self.data.xpos[self._cube_body]]).astype(np.float32)

    def _joints(self) -> NDArray[np.float64]:
        return self.data.qpos[: len(spec.JOINTS)].copy()  # type: ignore[no-any-return]  # MuJoCo has no types

    def _info(self, track: Sequence[NDArray[np.float32]], joints: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
        grasp_path, cube_path = np.stack(track, axis=1)
        return {
            "is_success": self._monitor.is_success,
            "stage": self._monitor.stage,
            "clipped": self._clipped.copy(),
            "limited": {name: self._out_of_range if name == "range" else 0 for name in spec.LIMITS},
            "cube_pose": body_pose(self.model, self.data, CUBE),
            "box_pose": box_pose(self.model, self.data),
            "gripper_pose": body_pose(self.model, self.data, "gripper"),
            "cube_size": self._scene.cube.size,
            "body": self._scene.body,
            "overloaded": self._actuation.is_overloaded,
            "grasp_path": grasp_path,
            "cube_path": cube_path,
            "joint_path": from_radians(np.stack(joints)).astype(np.float32),
            "steps": 0,
        }


def check_actions(actions: NDArray[np.floating]) -> NDArray[np.float64]:
    """The actions of a chunk as float64 `(n, 6)`. Raises `InvalidActionError` if they must not reach the motors."""
    goals = np.asarray(actions, np.float64)
    if goals.ndim != 2 or goals.shape[1] != len(spec.JOINTS) or not len(goals):
        raise InvalidActionError(
            f"actions have shape {goals.shape}", field="action", cure=f"give (n, {len(spec.JOINTS)}) with n >= 1"
        )
    if not np.isfinite(goals).all():
        names = [spec.JOINTS[joint] for joint in np.flatnonzero(~np.isfinite(goals).all(axis=0))]
        raise InvalidActionError(
            f"goal of {', '.join(names)} is not a finite number", field="action", cure="check the policy's output"
        )
    return goals


def _numbers(options: Mapping[str, Any], name: str, count: int) -> list[float]:
    try:
        numbers = np.asarray(options[name], np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        wanted = "a finite number" if count == 1 else f"{count} finite numbers"
        raise InvalidInputError(f"{options[name]!r} is not {wanted}", field=f"options[{name!r}]")
    return [float(number) for number in numbers]
