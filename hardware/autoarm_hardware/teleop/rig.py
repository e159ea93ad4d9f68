"""From what a command line says to a session that is ready to begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import gymnasium as gym

import autoarm_hardware
import gym_autoarm
from autoarm_hardware.config import RobotConfig, load_robot
from autoarm_hardware.operator import Operator
from autoarm_hardware.pacing import Clock, Pacer
from autoarm_hardware.teleop.keys import HELP, Keys, NoKeys, TerminalKeys
from autoarm_hardware.teleop.session import NO_TIME_LIMIT, Person, Session, write_picture
from autoarm_hardware.teleop.sources import Kind, Source, make_source
from autoarm_hardware.teleop.view import NoView, View, make_view
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv as SimulatedEnv
from gym_autoarm.errors import InvalidInputError

PICTURE: Final = Path("autoarm-top-view.png")
"""Where the operator of a real arm sees the place of the cube, unless a view shows it."""


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
        teleop: Who drives.
        body: Which arm is driven.
        robot: A robot's file: of the real arm, and of the leader.
        view: See `view.make_view`.
        image_size: Height and width of frames; the robot's if nothing is given, which it must not contradict.
        must_hear: Whether it makes no sense without a person at the keys.
        with_images: Whether simulated cameras are drawn even if nobody views them.
        say: How to tell the person something.

    Raises:
        AutoArmError: For whatever is missing or does not fit.
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
    keys = hear_keys(must_hear or teleop == "keyboard")
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


def hear_keys(is_needed: bool) -> Keys:
    """The terminal's keys; nobody's if there is no terminal and none is needed. Raises `InvalidInputError`."""
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
    """The simulated arm, at the pace of the clock."""
    env = SimulatedEnv(image_size, cameras=with_images, time_limit=NO_TIME_LIMIT)
    person = Person(keys, source, say)
    pacer = Pacer(spec.FPS, clock)
    return Session(env, gym_autoarm.ENV_ID, source, person, keys, view, pacer, say)


def real_session(
    config: RobotConfig,
    source: Source,
    keys: Keys,
    view: View | None = None,
    image_size: tuple[int, int] | None = None,
    say: Callable[[str], None] = print,
    **changes: Any,
) -> Session:
    """A real arm, or its twin; `changes` are for `RobotConfig.make_env`.

    Raises:
        InvalidInputError: If `image_size` is not the cameras'.
    """
    if image_size is not None and image_size != config.image_size:
        raise InvalidInputError(
            f"{image_size}, and the robot's cameras give {config.image_size}",
            field="image_size",
            cure="leave it out: the robot's file says it",
        )
    person = _operator(source, keys, view or NoView(), config.make_operator(), say)
    env: gym.Env[Any, Any] = config.make_env(operator=person, time_limit=NO_TIME_LIMIT, **changes)
    return Session(env, autoarm_hardware.ENV_ID, source, person, keys, view, say=say, robot_type=config.type)


def _operator(source: Source, keys: Keys, view: View, helper: Operator | None, say: Callable[[str], None]) -> Person:
    """The person who lays the cube, which the view shows the place of, or a picture where there is none."""
    if helper is not None:
        return Person(keys, source, say, helper=helper)  # a twin's hand lays it
    if isinstance(view, NoView):
        question = f"Lay the cube as {PICTURE} shows, then press Enter."
        return Person(keys, source, say, question, lambda frame: write_picture(PICTURE, frame))
    return Person(keys, source, say, "Lay the cube as the view shows, then press Enter.", view.place)
