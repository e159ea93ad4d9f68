"""`autoarm_hardware/PickIntoBox-v0`: the real arm, or its twin, behind the contract of the simulated environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from autoarm_hardware import signals
from autoarm_hardware.arm import connect_bus, make_robot
from autoarm_hardware.follower import describe
from autoarm_hardware.links import links_among
from autoarm_hardware.moving import Mover
from autoarm_hardware.operator import PICTURE, Operator, Terminal
from autoarm_hardware.overlay import overlay
from autoarm_hardware.pacing import Clock, LateError, Timing, WallClock
from autoarm_hardware.parking import park
from autoarm_hardware.port import disconnect_bus
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.views import Views
from autoarm_hardware.vision import PlacementDetector, find_cube, in_box
from autoarm_hardware.watchdog import Home
from gym_autoarm import spec
from gym_autoarm.env import Action, Observation, Step, check_actions
from gym_autoarm.env import PickIntoBoxEnv as SimulatedEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.kinematics import ArmKinematics
from gym_autoarm.model import yaw_quaternion
from gym_autoarm.rendering import Frame, check_image_size
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.task import RELEASED, REST_STEPS

Vector = NDArray[np.float64]

_SETTLE_STEPS: Final = 6
_UNSEEN_STEPS: Final = 15
"""Steps for which the open gripper must be over the box, with no cube in sight, before the arm moves aside."""


class PickIntoBoxEnv(gym.Env[Observation, Action]):
    """Pick up the cube and put it in the box, on a real arm.

    Spaces, keys of `info` and options of `reset` are those of `gym_autoarm/PickIntoBox-v0`. What the arm cannot know
    is NaN, in arrays of the same shape: after `step`, `cube_pose` and `cube_path`; `reset` returns the pose at which
    the operator was asked to place the cube. `box_pose` is that of the scene; `gripper_pose` and `grasp_path` come from
    the joints read, by forward kinematics, and are NaN, too, for an arm that is not the simulated one; `stage` is
    `reach` until success, then `place`; `clipped` says which joints the limits of `Guard` held back, its step limit
    included; `body` is the scene's, and `overloaded` what the gripper's servo said of itself when it was last asked,
    which each step does for one register of five.

    Steps take a thirtieth of a second each, on the clock; `timing` says how steadily. The arm is connected by the first
    `reset` and stopped by `close`, by leaving a `with` block, and by any exception out of `reset` or `step`.

    Args:
        port: The arm's serial port.
        cameras: LeRobot's camera configurations, or their fields with `type`: `top` and `lateral`.
        robot_type: LeRobot's name of the follower, one of `arm.ROBOT_TYPES`.
        robot_id: The name under which the arm was calibrated.
        calibration_dir: Where LeRobot keeps calibrations.
        home: Joint positions `(6,)` where the arm rests, out of the top camera's view. They are known for an SO-101 and
            must be given for another arm. Episodes start as far from there as simulated ones from theirs.
        image_size: Height and width of the cameras' frames.
        distribution: How `reset` draws scenes. Box, top camera and cube of a scene must be as they are on the table;
            the rest of a scene has no effect.
        time_limit: Steps before truncation.
        render_mode: `rgb_array` makes `render()` return both views side by side.
        success: How success is decided: by the `operator`, with a key, or by `vision`, with the top camera. If the arm
            hides the box from the camera, it moves aside, and back if the cube is not in the box.
        operator: Places the cube; a person at the terminal if nothing is given.
        limits: Limits on every command, and on what servos report.
        park: Whether the arm goes home before the end, slowly, on a way that touches nothing: after an episode, an
            exception or a signal, though not where a servo or the machine has failed. Another signal stops it.
        release: Whether the motors are switched off in the end.
        dry_run: Called with what would be sent to the servos, which are only read then.
        retries: How often a failed reading is made again, while the servos keep their goal.
        robot: A driver of LeRobot's, not connected, to use instead of one for `port`.
        clock: The clock that steps are paced by; wall time if nothing is given.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": spec.FPS}  # noqa: RUF012

    def __init__(
        self,
        port: str | None = None,
        cameras: Mapping[str, Any] | None = None,
        robot_type: str = spec.ROBOT_TYPE,
        robot_id: str = "follower",
        calibration_dir: str | Path | None = None,
        home: Sequence[float] | None = None,
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
        distribution: SceneDistribution | Mapping[str, Any] | None = None,
        time_limit: int = spec.TIME_LIMIT,
        render_mode: Literal["rgb_array"] | None = None,
        success: Literal["operator", "vision"] = "operator",
        operator: Operator | None = None,
        limits: Limits | None = None,
        park: bool = True,
        release: bool = True,
        dry_run: Callable[[str], None] | None = None,
        retries: int = 2,
        robot: Any = None,
        clock: Clock | None = None,
    ) -> None:
        # Its arguments are checked as in simulation.
        contract = SimulatedEnv(image_size, False, distribution, time_limit, render_mode)
        if success not in ("operator", "vision"):
            raise InvalidInputError(f"{success!r} decides nothing", field="success", cure="'operator' or 'vision'")
        if retries < 0:
            raise InvalidInputError(f"{retries} is no number of retries", field="retries", cure="0 or more")
        if robot is None and port is None:
            raise InvalidInputError("is missing", field="port", cure="find the port with lerobot-find-port")
        self.image_size = check_image_size(image_size)
        self.distribution = contract.distribution
        self.render_mode = render_mode
        self._max_episode_steps = time_limit
        self.task = self.task_description = spec.TASK
        self.action_space = contract.action_space
        self.observation_space = contract.observation_space
        self._scene_for = contract._scene_for
        self._robot = robot or make_robot(robot_type, str(port), robot_id, calibration_dir, cameras)
        self._follower = describe(self._robot, home)
        self._views = Views(self._robot.cameras, self.image_size)
        self._success, self._operator = success, operator
        self._clock = clock or WallClock()
        self._mover = Mover(self._follower, self._clock, (limits or Limits()).gap)
        self._links = links_among(self.distribution.base) if self._follower.has_model else None
        self._release = release
        self._parks = park and dry_run is None
        self._home = None
        if self._parks and self._links is not None:
            self._home = Home(tuple(self._follower.home.tolist()), self._links.height)
        self._guarding = {
            "limits": limits, "release": release, "dry_run": dry_run, "retries": retries,
            "sleep": self._clock.sleep, "now": self._clock.now,
            "low": self._follower.low, "high": self._follower.high, "links": self._links,
        }  # fmt: skip
        self._guard: Guard | None = None
        self._kinematics = ArmKinematics()
        self._scene: Scene | None = None
        self._frames: dict[str, Frame] = {}
        self._clipped: NDArray[np.bool_] = np.zeros(len(spec.JOINTS), bool)
        self._limited_before: Counter[str] = Counter()

    # -- Gymnasium ---------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Move the arm to its start, have the operator place the cube, and start an episode.

        Raises:
            AutoArmError: For what does not fit or does not answer: see `arm.connect_bus`, `Views` and `Guard`.
        """
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**32))
        scene = self._scene_for(seed, options or {})
        scene = replace(scene, start=self._follower.start(scene.start))
        try:
            guard = self._connect(scene)
            self._scene = scene
            self._mover.go(guard, np.asarray(scene.start), self._links)
            self._ask().place(lambda: overlay(self._views.frame("top"), scene), scene)
            self._ask().verdict()  # a verdict from before the episode does not count
            self._mover.start(guard)
            for _ in range(_SETTLE_STEPS):
                self._tick(guard, np.asarray(scene.start))
            self._elapsed, self._unseen, self._has_looked = 0, 0, False
            self._is_success = self._has_failed = False
            self._placed = PlacementDetector(scene, self.image_size, REST_STEPS, RELEASED)
            self._begin_call(guard)
            position = guard.position()
            self._frames = self._views.frames()
            info = self._info([position], self._cube_pose())
            return self._observation(position), {**info, "steps": 0}
        except BaseException as error:
            # A servo that fails, or a machine that does, is not asked to move the arm.
            self._end(self._parks and not isinstance(error, ServoError | LateError))
            raise

    def step(self, action: Action) -> Step:
        """Move towards the goal positions `action` for a thirtieth of a second."""
        return self.step_chunk(np.asarray(action)[None])

    def step_chunk(self, actions: NDArray[np.floating]) -> Step:
        """Take several actions `(n, 6)`, one every thirtieth of a second, and observe after the last.

        Stops early when the episode ends. The reward is the sum, and `info["steps"]` says how many were taken.

        Raises:
            InvalidActionError: Before anything moves, if a component is not a number or the shape is wrong.
            ServoError: If a servo fails; the arm has been stopped.
            LateError: If the machine was asleep or too busy for longer than `Limits.gap`; the arm has been stopped.
            CameraError: If a camera fails; the arm has been stopped.
        """
        goals = check_actions(actions)
        if self._guard is None or self._scene is None:
            raise InvalidInputError("there is no episode", field="step", cure="call reset() first")
        try:
            return self._run(self._guard, goals)
        except BaseException as error:
            # A servo that fails, or a machine that does, is not asked to move the arm.
            self._end(self._parks and not isinstance(error, ServoError | LateError))
            raise

    def render(self) -> Frame | None:
        """Both views side by side, as last observed, uint8 `(height, 2 * width, 3)`, in render mode `rgb_array`."""
        if self.render_mode is None or not self._frames:
            return None
        return np.concatenate([self._frames[camera] for camera in spec.CAMERAS], axis=1)

    def close(self) -> None:
        """Park the arm, stop it, and release it, as configured; then disconnect. Safe to call twice."""
        self._end(self._parks)

    # -- Beyond the contract ------------------------------------------------------------------------------------------

    @property
    def scene(self) -> Scene:
        """The scene of the present episode, as the operator was asked to arrange it."""
        if self._scene is None:
            raise InvalidInputError("there is no episode", field="scene", cure="call reset() first")
        return self._scene

    @property
    def timing(self) -> Timing:
        """How evenly commands were sent so far."""
        return self._mover.timing

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _end(self, parks: bool) -> None:
        self._scene = None
        if self._guard is None:
            return
        try:
            self._guard.hold()
            if parks and self._links is not None:
                park(self._guard, self._mover, self._follower, self._links)
        finally:
            try:
                with signals.shield():
                    guard, self._guard = self._guard, None
                    try:
                        guard.stop()
                    finally:
                        disconnect_bus(self._robot)
            finally:
                self._views.close()

    def _connect(self, scene: Scene) -> Guard:
        if self._guard is None:
            # Cameras first: they are checked while the motors are still as they were.
            try:
                self._views.connect(scene)
                with signals.shield():  # or motors could be on, and nothing here that stops them
                    connect_bus(self._robot, self._release, self._home)
                    self._guard = Guard(self._robot.bus, **self._guarding)  # type: ignore[arg-type]  # as they are
            except BaseException:
                if self._guard is None:
                    self._views.close()
                raise
        self._guard.check()
        return self._guard

    def _ask(self) -> Operator:
        if self._operator is None:
            self._operator = Terminal(PICTURE)
        return self._operator

    def _run(self, guard: Guard, goals: Vector) -> Step:
        self._begin_call(guard)
        joints: list[Vector] = []
        reward, truncated = 0.0, False
        for goal in goals:
            position = self._tick(guard, goal)
            joints.append(position)
            self._elapsed += 1
            self._judge(guard, position)
            over = self._elapsed >= self._max_episode_steps
            if over and not self._is_success and self._success == "vision":
                self._look_aside(guard)
            reward += float(self._is_success)
            truncated = not self._is_success and (over or self._has_failed)
            if self._is_success or truncated:
                break
        self._frames = self._views.frames()
        self._views.watch(self._frames, joints[-1])
        info = {**self._info(joints, np.full(7, np.nan)), "steps": len(joints)}
        return self._observation(joints[-1]), reward, self._is_success, truncated, info

    def _begin_call(self, guard: Guard) -> None:
        self._mover.start(guard)  # a policy may take its time
        self._clipped = np.zeros(len(spec.JOINTS), bool)
        self._limited_before = guard.limited.copy()

    def _limited(self) -> dict[str, int]:
        now = self._guard.limited if self._guard is not None else self._limited_before
        return {name: now[name] - self._limited_before[name] for name in spec.LIMITS}

    def _tick(self, guard: Guard, goal: Vector) -> Vector:
        """Send a goal, wait for the next tick, and return the position `(6,)` then."""
        position = self._mover.tick(guard, goal)
        self._clipped |= np.abs(self._mover.sent - goal) > 1e-6
        return position

    def _judge(self, guard: Guard, position: Vector) -> None:
        match self._ask().verdict() if self._operator is not None or self._success == "operator" else None:
            case "success":
                self._is_success = True
            case "failure":
                self._has_failed = True
        if self._success == "vision" and not self._is_success:
            top, opening = self._views.frame("top"), float(position[spec.GRIPPER])
            self._placed.update(top, opening)
            self._is_success = self._placed.is_placed
            if not self._is_success:
                self._look_where_hidden(guard, top, position)

    def _look_where_hidden(self, guard: Guard, top: Frame, position: Vector) -> None:
        """Move aside once if the gripper has opened over the box, which it hides from the camera."""
        hidden = (
            position[spec.GRIPPER] > RELEASED
            and in_box(tuple(self._grasp(position)[:2]), self.scene.box)
            and find_cube(top, self._placed.view, self.scene.cube) is None
        )
        self._unseen = self._unseen + 1 if hidden else 0
        if position[spec.GRIPPER] <= RELEASED:
            self._has_looked = False
        if self._unseen >= _UNSEEN_STEPS and not self._has_looked:
            self._has_looked = True
            self._look_aside(guard)
            if not self._is_success:
                self._mover.go(guard, position, self._links)

    def _look_aside(self, guard: Guard) -> None:
        aside = self._follower.home
        self._mover.go(guard, aside, self._links)
        for _ in range(3 * REST_STEPS):
            position = self._tick(guard, aside)
            self._placed.update(self._views.frame("top"), float(position[spec.GRIPPER]))
        self._is_success = self._placed.is_placed

    def _observation(self, position: Vector) -> Observation:
        space = self.observation_space["agent_pos"]  # type: ignore[index]
        return {"pixels": dict(self._frames), "agent_pos": np.clip(position.astype(np.float32), space.low, space.high)}

    def _grasp(self, position: Vector) -> Vector:
        return self._kinematics.forward(position)[0] if self._follower.has_model else np.full(3, np.nan)

    def _gripper_pose(self, position: Vector) -> Vector:
        if not self._follower.has_model:
            return np.full(7, np.nan)
        return np.concatenate(self._kinematics.body_pose(position, "gripper"))

    def _cube_pose(self) -> Vector:
        cube = self.scene.cube
        return np.array([cube.x, cube.y, cube.size / 2, *yaw_quaternion(cube.yaw)])

    def _info(self, joints: list[Vector], cube_pose: Vector) -> dict[str, Any]:
        box = self.scene.box
        cube_path = np.full((len(joints), 3), np.nan, np.float32)
        cube_path[:] = cube_pose[:3]
        return {
            "is_success": self._is_success,
            "stage": spec.STAGES[-1 if self._is_success else 0],
            "clipped": self._clipped.copy(),
            "limited": self._limited(),
            "cube_pose": cube_pose,
            "box_pose": np.array([box.x, box.y, 0.0, *yaw_quaternion(box.yaw)]),
            "gripper_pose": self._gripper_pose(joints[-1]),
            "cube_size": self.scene.cube.size,
            "body": self.scene.body,
            "overloaded": self._guard is not None and self._guard.is_overloaded,
            "grasp_path": np.stack([self._grasp(position) for position in joints]).astype(np.float32),
            "cube_path": cube_path,
            "joint_path": np.stack(joints).astype(np.float32),
        }
