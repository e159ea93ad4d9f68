"""Driving an arm through one episode after another, with a person who starts, ends and repeats them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Literal, Self

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.operator import Operator, Verdict
from autoarm_hardware.pacing import Pacer, Timing
from autoarm_hardware.teleop.keys import Event, Keys, events
from autoarm_hardware.teleop.sources import Source
from autoarm_hardware.teleop.view import NoView, View
from gym_autoarm import spec
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import Scene

Outcome = Literal["success", "kept", "failure", "again", "previous", "quit"]
"""How an episode ended: `success`; `kept` as it is, on a key; `failure`, or the time limit; `again`: discarded and to
be repeated; `previous`: not driven, the one before is to be repeated; `quit`: not driven to its end."""

NO_TIME_LIMIT: Final = 2**31
"""The time limit of a session's environment. The session ends episodes itself, because pauses take steps, too."""

_LOOK: Final = 0.5
"""Seconds between two pictures with the cube's place."""


class TeleopOperator:
    """The person at the keys, who is also the operator of the real environment.

    Args:
        keys: The keys that are read.
        source: What drives the arm; its buttons count as keys.
        say: Prints a message for the person.
        question: The message when an episode can start.
        show: Shows the top view while the cube is being placed.
        helper: Another operator that places the cube and decides on success: a twin's.
    """

    def __init__(
        self,
        keys: Keys,
        source: Source,
        say: Callable[[str], None] = print,
        question: str = "Press Enter to start.",
        show: Callable[[Frame], None] = lambda frame: None,
        helper: Operator | None = None,
    ) -> None:
        self._keys, self._source = keys, source
        self._say, self._question, self._show = say, question, show
        self._helper = helper
        self._verdict: Verdict | None = None
        self.was_asked = False
        """Whether the environment has asked for the cube since this was last set to `False`."""
        self.request: Literal["previous", "quit"] | None = None
        """What the person chose instead of starting the episode."""

    def poll(self) -> tuple[list[Event], list[str]]:
        """The events and the keys pressed since the last call; a verdict among them is kept for `verdict`."""
        pressed = self._keys.take()
        said = events(pressed) + self._source.events()
        for event in said:
            if event in (Event.SUCCESS, Event.FAILURE):
                self._verdict = "success" if event is Event.SUCCESS else "failure"
        return said, pressed

    def clear(self) -> None:
        """Forget all events so far: they are not about the next episode."""
        self.poll()
        self._verdict = None

    def wait_for_start(self, look: Callable[[], Frame] | None = None) -> None:
        """Return once the person starts the episode, or chooses something else (`request`)."""
        self.was_asked = True
        if self._keys.is_there:
            self._say(self._question)
        while self._keys.is_there:
            for event in self.poll()[0]:
                match event:
                    case Event.START | Event.SUCCESS:
                        return
                    case Event.REPEAT:
                        self.request = "previous"
                        return
                    case Event.QUIT:
                        self.request = "quit"
                        return
            if look is not None:
                self._show(look())
            self._keys.wait(_LOOK)

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """See `autoarm_hardware.operator.Operator`."""
        if self._helper is not None:
            self._helper.place(look, scene)
        self.wait_for_start(look)

    def verdict(self) -> Verdict | None:
        """See `autoarm_hardware.operator.Operator`."""
        said, self._verdict = self._verdict, None
        return said or (self._helper.verdict() if self._helper is not None else None)


class Session:
    """An environment, what drives it, and the person at the keys; a context manager that connects and closes them.

    Args:
        env: The simulated environment or the real one, with `NO_TIME_LIMIT`; `operator` is the real one's, too.
        env_id: Its name in Gymnasium's registry.
        source: What drives the arm.
        operator: Starts and ends episodes.
        keys: The terminal's keys; closed with the session.
        view: Shows observations and goals.
        pacer: Paces the simulated environment; the real one paces itself.
        say: Prints a message for the person.
        robot_type: LeRobot's name of the arm that is driven.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        env_id: str,
        source: Source,
        operator: TeleopOperator,
        keys: Keys,
        view: View | None = None,
        pacer: Pacer | None = None,
        say: Callable[[str], None] = print,
        robot_type: str = spec.ROBOT_TYPE,
    ) -> None:
        self.env_id, self.robot_type = env_id, robot_type
        self._env, self._source, self._operator, self._keys = env, source, operator, keys
        self._view = view or NoView()
        self._pacer = pacer
        self._say = say
        self._end = ExitStack()

    def __enter__(self) -> Self:
        for each in (self._keys, self._view, self._source, self._env):
            self._end.callback(each.close)  # the arm is stopped first
        try:
            self._source.connect()
        except BaseException:
            self._end.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the cameras' frames."""
        height, width = self._env.unwrapped.image_size  # type: ignore[attr-defined]
        return int(height), int(width)

    @property
    def scene(self) -> Scene:
        """The scene of the present episode."""
        scene = self._env.unwrapped.scene  # type: ignore[attr-defined]  # both environments have one
        assert isinstance(scene, Scene)
        return scene

    @property
    def timing(self) -> Timing:
        """How evenly steps were taken."""
        timing = self._env.unwrapped.timing if self._pacer is None else self._pacer.timing()  # type: ignore[attr-defined]
        assert isinstance(timing, Timing)
        return timing

    def episode(
        self,
        seed: int,
        options: Mapping[str, Any] | None = None,
        *,
        seconds: float = math.inf,
        on_frame: Callable[[Mapping[str, Any], NDArray[np.float32]], None] | None = None,
    ) -> Outcome:
        """Reset, wait for the person, and drive until the episode is over.

        While paused, the arm holds and is watched; that time does not count.

        Args:
            seed: Seed of the scene.
            options: Options of the environment's `reset`.
            seconds: Time limit, from when the source controls the arm (`Source.is_ready`).
            on_frame: Called with every observation and the action `(6,)` that follows, from then on.

        Raises:
            AutoArmError: If the arm must stop, or the source fails; the arm is stopped when the session closes.
        """
        self._operator.was_asked, self._operator.request = False, None
        observation, _ = self._env.reset(seed=seed, options=dict(options or {}))
        if not self._operator.was_asked:
            self._view.step(observation, np.asarray(self.scene.start))
            self._operator.wait_for_start()
        if self._operator.request is not None:
            return self._operator.request
        self._operator.clear()
        if self._pacer is not None:
            self._pacer.start()
        return self._drive(observation, math.inf if math.isinf(seconds) else round(seconds * spec.FPS), on_frame)

    def drive(self, seed: int = 0, spot: str | None = None, seconds: float = math.inf) -> int:
        """Episode after episode, from the scene of `seed` on, until the person quits or the time is up.

        Returns the number of steps taken while the source controlled the arm.
        """
        first, steps = seed, 0

        def count(observation: Mapping[str, Any], action: NDArray[np.float32]) -> None:
            nonlocal steps
            steps += 1

        options = {} if spot is None else {"spot": spot}
        while (left := seconds - steps / spec.FPS) > 0:
            outcome = self.episode(seed, options, seconds=left, on_frame=count)
            if steps / spec.FPS < seconds:  # otherwise the time was up, which is no failure
                self._say(f"Episode {seed}: {outcome}.")
            match outcome:
                case "quit":
                    break
                case "success" | "kept":
                    seed += 1
                case "previous":
                    seed = max(first, seed - 1)
        return steps

    def _drive(
        self,
        observation: Mapping[str, Any],
        most_steps: float,
        on_frame: Callable[[Mapping[str, Any], NDArray[np.float32]], None] | None,
    ) -> Outcome:
        goal = np.asarray(self.scene.start, np.float64)
        self._source.start(goal)
        steps, is_paused, has_begun = 0, False, False
        while True:
            said, pressed = self._operator.poll()
            if (outcome := _outcome(said)) is not None:
                return outcome
            if said.count(Event.PAUSE) % 2:
                is_paused = not is_paused
                self._say("Paused: space goes on." if is_paused else "It goes on.")
                if not is_paused:
                    self._source.start(goal)
            if not is_paused:
                goal = np.clip(self._source.goal(pressed), spec.ACTION_LOW, spec.ACTION_HIGH)
            action = goal.astype(np.float32)
            has_begun = has_begun or (self._source.is_ready and not is_paused)
            if has_begun and not is_paused:
                steps += 1
                if on_frame is not None:
                    on_frame(observation, action)
            self._view.step(observation, action)
            observation, _, terminated, truncated, _ = self._env.step(action)
            if self._pacer is not None:
                self._pacer.wait()
            if terminated:
                return "success"
            if truncated or steps >= most_steps:
                return "failure"


def _outcome(said: list[Event]) -> Outcome | None:
    """How events end an episode; `None` if they do not. Success is decided by the environment."""
    for event in said:
        match event:
            case Event.QUIT:
                return "quit"
            case Event.REPEAT:
                return "again"
            case Event.KEEP:
                return "kept"
            case Event.FAILURE:
                return "failure"
    return None
