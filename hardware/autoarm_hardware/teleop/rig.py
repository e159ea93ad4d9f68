"""Sessions from command line options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym

import autoarm_hardware
import gym_autoarm
from autoarm_hardware.config import RobotConfig, load_robot
from autoarm_hardware.operator import PICTURE, Operator
from autoarm_hardware.pacing import Clock, Pacer
from autoarm_hardware.pictures import write_picture
from autoarm_hardware.teleop.keys import HELP, Keys, NoKeys, TerminalKeys
from autoarm_hardware.teleop.session import NO_TIME_LIMIT, Session, TeleopOperator
from autoarm_hardware.teleop.sources import Kind, Source, make_source
from autoarm_hardware.teleop.view import NoView, View, make_view
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv as SimulatedEnv
from gym_autoarm.errors import InvalidInputError


def open_session(
    teleop: Kind,
    *,
    body: Literal["sim", "real"] = "sim",
    robot: Path | None = None,
    view: str | None = None,
    image_size: tuple[int, int] | None = None,
    must_hear: bool = False,
    with_images: bool = True,
    say: Callable[[str], None] = print,
) -> Session:
    """A session, not connected yet: entering it connects.

    Args:
        teleop: What drives the arm.
        body: Which arm is driven: the simulated one or a real one.
        robot: A robot's file, with the real arm and the leader.
        view: Where to show cameras, state and goal; see `view.make_view`.
        image_size: Height and width of frames; with a robot's file it must be that of the robot's cameras.
        must_hear: Whether a terminal is required even if the keyboard does not drive.
        with_images: Whether simulated cameras are drawn even without a view.
        say: Prints a message for the person.

    Raises:
        AutoArmError: For anything that is missing or does not fit.
    """
    config = None if robot is None else load_robot(robot)
    if body == "real" and config is None:
        raise InvalidInputError("is missing", field="robot", cure="name the arm's file with --robot")
    if body == "real" and config is not None and not config.has_model and teleop != "leader":
        raise InvalidInputError(
            f"moves the gripper along the table's axes, and the links of a {config.type} are not known",
            field="teleop",
            cure="drive it with a leader arm: --teleop leader",
        )
    leader = config.leader.make_teleoperator() if teleop == "leader" and config is not None and config.leader else None
    source = make_source(teleop, leader)
    keys = open_keys(must_hear or teleop == "keyboard")
    try:
        shown = make_view(view)
    except BaseException:
        keys.close()
        raise
    try:
        if body == "real":
            assert config is not None
            session = real_session(config, source, keys, shown, image_size, say)
        else:
            drawn = with_images or view is not None
            session = simulated_session(source, keys, shown, image_size or spec.IMAGE_SIZE, drawn, say=say)
    except BaseException:
        shown.close()
        keys.close()
        raise
    if keys.is_there:
        say(f"{source.help}\n{HELP}")
        if body == "sim" and view is None:
            say("Nothing shows the simulated arm: --view live does, or --view NAME.rrd.")
    return session


def open_keys(is_needed: bool) -> Keys:
    """The terminal's keys, or `NoKeys` without a terminal. Raises `InvalidInputError` if one is needed."""
    try:
        return TerminalKeys()
    except InvalidInputError:
        if is_needed:
            raise
        return NoKeys()


def simulated_session(
    source: Source,
    keys: Keys,
    view: View | None = None,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    with_images: bool = True,
    clock: Clock | None = None,
    say: Callable[[str], None] = print,
) -> Session:
    """A session with the simulated arm, paced by a clock; wall time if nothing is given."""
    env = SimulatedEnv(image_size, cameras=with_images, time_limit=NO_TIME_LIMIT)
    operator = TeleopOperator(keys, source, say)
    pacer = Pacer(spec.FPS, clock)
    return Session(env, gym_autoarm.ENV_ID, source, operator, keys, view, pacer, say)


def real_session(
    config: RobotConfig,
    source: Source,
    keys: Keys,
    view: View | None = None,
    image_size: tuple[int, int] | None = None,
    say: Callable[[str], None] = print,
    **changes: Any,
) -> Session:
    """A session with a real arm, or its twin; `changes` are passed to `RobotConfig.make_env`.

    Raises:
        InvalidInputError: If `image_size` is not that of the cameras.
    """
    if image_size is not None and image_size != config.image_size:
        raise InvalidInputError(
            f"{image_size}, and the robot's cameras give {config.image_size}",
            field="image_size",
            cure="leave it out: the robot's file says it",
        )
    operator = _operator(source, keys, view or NoView(), config.make_operator(), say)
    env: gym.Env[Any, Any] = config.make_env(operator=operator, time_limit=NO_TIME_LIMIT, **changes)
    return Session(env, autoarm_hardware.ENV_ID, source, operator, keys, view, say=say, robot_type=config.type)


def _operator(
    source: Source, keys: Keys, view: View, helper: Operator | None, say: Callable[[str], None]
) -> TeleopOperator:
    """The operator of a real arm, shown the cube's place in the view, or in a PNG file without one."""
    if helper is not None:
        return TeleopOperator(keys, source, say, helper=helper)  # the twin places it
    if isinstance(view, NoView):
        question = f"Put the cube where {PICTURE} shows it, then press Enter."
        return TeleopOperator(keys, source, say, question, lambda frame: write_picture(PICTURE, frame))
    return TeleopOperator(keys, source, say, "Put the cube where the view shows it, then press Enter.", view.place)
