"""Teleoperation: sources, keys, jogging and sessions, on the simulated arm and on lockstep twins."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot.teleoperators.gamepad.gamepad_utils import InputController
from lerobot.teleoperators.utils import TeleopEvents
from PIL import Image

from autoarm_hardware.config import LeaderConfig, RobotConfig
from autoarm_hardware.pacing import Clock, Pacer
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.teleop.jog import FASTEST, Jog, Movement, grasp_pose
from autoarm_hardware.teleop.keys import EVENTS, Event, NoKeys, events
from autoarm_hardware.teleop.rig import open_session, real_session
from autoarm_hardware.teleop.session import NO_TIME_LIMIT, Outcome, Session, TeleopOperator
from autoarm_hardware.teleop.sources import KEYS, Gamepad, Keyboard, make_source
from autoarm_hardware.teleop.view import make_view
from autoarm_hardware.twin import hand
from autoarm_hardware.twin.calibration import leader_calibration, write_calibration
from autoarm_hardware.twin.device import Arm, Settings, Twin
from autoarm_hardware.twin.line import VirtualLine, plug_in
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm import ENV_ID, spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.kinematics import ArmKinematics, GraspPose, radial_heading, wrap
from gym_autoarm.scene import HOME, Scene


def robot(image_size: tuple[int, int]) -> RobotConfig:
    height, width = image_size
    camera = {"type": "opencv", "index_or_path": 0, "height": height, "width": width, "fps": spec.FPS}
    return RobotConfig(port="a virtual line", id="follower", cameras=dict.fromkeys(spec.CAMERAS, camera))


class Script:
    """Keys by how often they were asked for before."""

    is_there = True

    def __init__(self, pressed: Mapping[int, list[str]]) -> None:
        self._pressed = pressed
        self._count = 0

    def take(self) -> list[str]:
        self._count += 1
        return self._pressed.get(self._count - 1, [])

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class Instant:
    """A clock on which waiting takes no time."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def simulated(keys: Any, source: Any = None, clock: Clock | None = None) -> Session:
    env = PickIntoBoxEnv(cameras=False, image_size=(96, 128), time_limit=NO_TIME_LIMIT)
    source = source or Keyboard()
    person = TeleopOperator(keys, source, say=lambda text: None)
    return Session(env, ENV_ID, source, person, keys, None, Pacer(spec.FPS, clock or Instant()), lambda text: None)


# -- Jogging ---------------------------------------------------------------------------------------------------------


def ticks(jog: Jog, movement: Movement, count: int = 5) -> Any:
    jog.move(movement)
    return [jog.tick() for _ in range(count)][-1]


@pytest.mark.parametrize(("key", "movement"), KEYS.items())
def test_a_key_moves_the_gripper_as_it_says(key: str, movement: Movement) -> None:
    kinematics, jog = ArmKinematics(), Jog()
    start = np.array([0.0, -30.0, 30.0, 60.0, 85.0, 50.0])
    jog.start(start)
    before, after = grasp_pose(kinematics, start), ticks(jog, movement)
    pose = grasp_pose(kinematics, after)
    assert np.subtract(pose.position, before.position) == pytest.approx([movement.x, movement.y, movement.z], abs=6e-4)
    assert pose.tilt - before.tilt == pytest.approx(movement.tilt, abs=1.1)
    assert pose.heading - before.heading == pytest.approx(movement.roll, abs=1.1)
    assert after[spec.GRIPPER] - start[spec.GRIPPER] == movement.gripper


def test_jogging_there_and_back_ends_where_it_began() -> None:
    jog = Jog()
    jog.start(np.array(HOME))
    for movement in (Movement(x=0.05), Movement(y=-0.03, z=0.04), Movement(y=0.03, z=-0.04), Movement(x=-0.05)):
        for _ in range(10):
            end = ticks(jog, Movement(*(movement.array() / 10)), 2)
    # Errors of inverse kinematics do not add up: they are measured from where the gripper was sent, each time.
    assert end == pytest.approx(np.array(HOME), abs=1.5)


def test_jogging_keeps_to_its_speed_and_to_the_limits() -> None:
    kinematics, jog, rng = ArmKinematics(), Jog(), np.random.default_rng(0)
    jog.start(np.array(HOME))
    last = np.array(HOME)
    for _ in range(100):
        jog.move(Movement(*(rng.choice([-3.0, 0.0, 3.0], 6) * FASTEST.array())))
        goal = jog.tick()
        assert (goal >= spec.ACTION_LOW).all()
        assert (goal <= spec.ACTION_HIGH).all()
        before, after = (kinematics.forward(each)[0] for each in (last, goal))
        assert np.abs(after - before).max() < FASTEST.x + 2e-3
        assert np.abs(goal - last).max() <= 20.0
        last = goal


def test_what_cannot_be_reached_is_not_kept() -> None:
    jog = Jog()
    jog.start(np.array(HOME))
    for _ in range(60):
        end = ticks(jog, Movement(z=-0.005), 1)
    back = ticks(jog, Movement(z=0.005), 2)
    kinematics = ArmKinematics()
    assert kinematics.forward(back)[0][2] - kinematics.forward(end)[0][2] > 0.004


# -- Keys ------------------------------------------------------------------------------------------------------------


def test_no_key_means_two_things() -> None:
    assert not set(KEYS) & set(EVENTS)
    assert events(["right", "N", "x", "space"]) == [Event.KEEP, Event.KEEP, Event.PAUSE]


class Typist:
    """Somebody who sees the table and presses keys, one a step, until the gripper is where a list of places says."""

    is_there = True

    def __init__(self, keyboard: Keyboard) -> None:
        self._jog = keyboard._jog
        self._waited = 0
        self.places: list[tuple[GraspPose, float]] = []
        self.pressed: list[str] = []

    def take(self) -> list[str]:
        if not self.pressed:
            self.pressed.append("enter")
            return ["enter"]
        if not self.places:
            return []
        key = self._key(*self.places[0])
        if key is None and len(self.places) > 1:
            self._waited += 1
            if self._waited > 8:  # the arm arrives later than its goal
                self._waited = 0
                self.places.pop(0)
        self.pressed += [key] if key else []
        return [key] if key else []

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...

    def _key(self, place: GraspPose, opening: float) -> str | None:
        here = self._jog._pose
        x, y, z = np.subtract(place.position, here.position)
        tilt = place.tilt - here.tilt if place.position[2] < 0.05 else 0.0
        turn = wrap(place.heading - here.heading, 360.0)
        # Up first and down last: the cube is not to be swept away.
        axes = [(max(z, 0.0), "u", "m"), (x, "i", "k"), (y, "j", "l"), (tilt, "t", "g"), (turn, "v", "b")]
        axes += [(z, "u", "m"), (opening - self._jog._goal[spec.GRIPPER], "o", "p")]
        for step in (1.0, 0.2):
            for distance, more, less in axes:
                if abs(distance) >= step * float(np.abs(KEYS[more].array()).max()) * (1.0 if step == 1.0 else 0.6):
                    key = more if distance > 0 else less
                    return key if step == 1.0 else key.upper()
        return None


def pick_and_place(scene: Scene) -> list[tuple[GraspPose, float]]:
    """Where the gripper goes, and how far it opens, to put the cube of a scene in its box."""
    cube, box = np.array([scene.cube.x, scene.cube.y]), np.array([scene.box.x, scene.box.y])
    across = radial_heading(*cube) + 90.0
    heading = across + wrap(scene.cube.yaw - across, 90.0)
    beside = cube - 0.006 * np.array([np.cos(np.deg2rad(heading)), np.sin(np.deg2rad(heading))])
    over_box = radial_heading(*box) + 90.0

    def place(xy: Any, z: float, heading: float, opening: float) -> tuple[GraspPose, float]:
        return GraspPose((float(xy[0]), float(xy[1]), z), 0.0, heading), opening

    return [
        place(beside, 0.1, heading, 40.0),
        place(beside, 0.021, heading, 40.0),
        place(cube, 0.021, heading, 40.0),
        place(cube, 0.021, heading, 8.0),
        place(cube, 0.11, heading, 8.0),
        place(box, 0.11, over_box, 8.0),
        place(box, 0.055, over_box, 8.0),
        place(box, 0.055, over_box, 32.0),
    ]


def test_keys_alone_put_the_cube_in_the_box() -> None:
    keyboard = Keyboard()
    typist = Typist(keyboard)
    with simulated(typist, keyboard) as session:
        frames = []

        def on_frame(observation: Any, action: Any) -> None:
            if not frames:
                typist.places = pick_and_place(session.scene)
            frames.append(action)

        assert session.episode(0, {"spot": "centre"}, seconds=30.0, on_frame=on_frame) == "success"
    assert len(frames) < 450
    assert set(typist.pressed) - {"enter"} <= {*KEYS, *(key.upper() for key in KEYS)}


# -- What a person may say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "outcome"),
    [("n", "kept"), ("right", "kept"), ("r", "again"), ("left", "again"), ("f", "failure"), ("esc", "quit")],
)
def test_a_key_ends_an_episode(key: str, outcome: Outcome) -> None:
    said = {0: ["enter"], 6: ["i", key]}
    frames: list[Any] = []
    with simulated(Script(said)) as session:
        assert session.episode(0, on_frame=lambda *frame: frames.append(frame)) == outcome
    assert len(frames) == 4  # of takes 2 to 5: one more clears what was said before


@pytest.mark.parametrize(("key", "outcome"), [("r", "previous"), ("q", "quit")])
def test_a_key_instead_of_a_start(key: str, outcome: Outcome) -> None:
    frames: list[Any] = []
    with simulated(Script({2: [key]})) as session:
        assert session.episode(0, on_frame=lambda *frame: frames.append(frame)) == outcome
    assert frames == []


def test_a_pause_holds_the_arm_and_is_not_recorded() -> None:
    said = {0: ["enter"], **{take: ["i"] for take in range(2, 40)}, 10: ["space"], 20: ["space"], 30: ["n"]}
    frames: list[Any] = []
    with simulated(Script(said)) as session:
        env: Any = session._env
        take_step, goals = env.step, []

        def step(action: Any) -> Any:
            goals.append(action)
            return take_step(action)

        env.step = step
        assert session.episode(0, on_frame=lambda *frame: frames.append(frame)) == "kept"
    held = np.array(goals[8:18])
    assert len(frames) == len(goals) - len(held)
    assert (held == held[0]).all()
    assert not np.array_equal(goals[7], goals[6])
    assert not np.array_equal(goals[-1], goals[18])
    assert [tuple(action) for _, action in frames] == [tuple(goal) for goal in [*goals[:8], *goals[18:]]]


def test_time_is_up() -> None:
    frames: list[Any] = []
    with simulated(Script({0: ["enter"]})) as session:
        assert session.episode(0, seconds=0.5, on_frame=lambda *frame: frames.append(frame)) == "failure"
    assert len(frames) == 15


def test_driving_leads_from_episode_to_episode() -> None:
    said = {0: ["enter"], 4: ["n"], 5: ["enter"], 9: ["r"], 10: ["enter"], 14: ["n"], 15: ["r"], 16: ["enter"]}
    seeds: list[int] = []
    with simulated(Script({**said, 20: ["q"]})) as session:
        episode = session.episode

        def note(seed: int, *arguments: Any, **options: Any) -> Outcome:
            seeds.append(seed)
            return episode(seed, *arguments, **options)

        session.episode = note  # type: ignore[method-assign, assignment]
        assert session.drive(7) == 8
    assert seeds == [7, 8, 8, 9, 8]


def test_without_a_person_it_starts_by_itself() -> None:
    with simulated(NoKeys()) as session:
        assert session.drive(0, seconds=0.2) == 6
        assert session.timing.steps == 5


# -- Leaders ---------------------------------------------------------------------------------------------------------


class LeaderBench:
    """A leader on a virtual line, moved by a hand."""

    def __init__(self, folder: Path, mover: Any = hand.wave) -> None:
        self.arm = Arm("leader", Settings(leader_hand=mover), leader_calibration(), mover)
        write_calibration(self.arm.servos, self.arm.calibration)
        content = {joint: asdict(values) for joint, values in self.arm.calibration.items()}
        (folder / "leader.json").write_text(json.dumps(content))
        self.line = VirtualLine(self.arm.bus, self.arm.body.advance)
        config = LeaderConfig(port="a virtual line", calibration_dir=folder)
        teleoperator = config.make_teleoperator()
        plug_in(teleoperator.bus, self.line)
        self.source = make_source("leader", teleoperator)


def test_the_simulated_arm_follows_a_leader(tmp_path: Path) -> None:
    bench = LeaderBench(tmp_path)
    frames: list[Any] = []
    with simulated(NoKeys(), bench.source, bench.line) as session:
        assert session.episode(0, seconds=4.0, on_frame=lambda *frame: frames.append(frame)) == "failure"
    states = np.array([observation["agent_pos"] for observation, _ in frames])
    actions = np.array([action for _, action in frames])
    assert np.ptp(actions[:, 0]) > 25
    assert np.median(np.abs(states - actions)) < 3
    assert not any(servo["Torque_Enable"] for servo in bench.arm.servos)


def test_the_follower_comes_to_a_leader_that_is_elsewhere(tmp_path: Path) -> None:
    away = np.add(HOME, [-60.0, 30.0, 0.0, 0.0, 0.0, 20.0])
    bench = LeaderBench(tmp_path, lambda seconds: away)
    bench.arm.body.advance(2.0)  # the hand brings it there
    goals: list[Any] = []
    frames: list[Any] = []
    with simulated(NoKeys(), bench.source, bench.line) as session:
        env: Any = session._env
        take_step = env.step
        env.step = lambda action: (goals.append(action), take_step(action))[1]
        session.episode(0, seconds=0.5, on_frame=lambda *frame: frames.append(frame))
    assert np.abs(np.diff(goals, axis=0)).max() <= 3.0 + 1e-4  # the last one closes what is left
    assert len(goals) > 60 / 2 / 1.2
    assert np.abs(frames[0][1] - away).max() < 5.0
    assert len(frames) == 15


def test_a_follower_twin_follows_a_leader_twin_and_is_guarded(tmp_path: Path) -> None:
    bench = LeaderBench(tmp_path)
    twin = LockstepTwin(tmp_path, Settings(image_size=(48, 64)), cameras=False)
    # One time for both arms.
    both: Any = twin.line
    advance = both._advance
    both._advance = lambda seconds: (advance(seconds), bench.arm.body.advance(seconds))
    config = robot((48, 64))
    session = real_session(
        config,
        bench.source,
        NoKeys(),
        say=lambda text: None,
        robot=twin.robot,
        clock=twin.line,
        limits=Limits(step=8.0),
    )
    with session:
        pairs, sent = [], []

        def on_frame(observation: Any, action: Any) -> None:
            pairs.append((bench.arm.body.position, twin.arm.body.position))
            sent.append([servo["Goal_Position"] for servo in twin.arm.servos])

        assert session.image_size == (48, 64)
        assert session.episode(0, seconds=4.0, on_frame=on_frame) == "failure"
        leader, follower = np.array(pairs).transpose(1, 0, 2)
        assert np.ptp(leader[:, 0]) > 25
        assert np.median(np.abs(leader - follower)) < 3
        # A leader that goes wild: what is sent stays within a step of where the follower is.
        bench.source._read = lambda: np.where(np.arange(6) == 0, -100.0, follower[-1])  # type: ignore[attr-defined]
        real: Any = session._env
        *_, info = real.step(bench.source.goal([]))
        assert info["clipped"][0]
        # And one that falls silent: an error, and the follower is stopped and released.
        del bench.source._read  # type: ignore[attr-defined]
        bench.line.is_plugged = False
        with pytest.raises(ServoError, match="leader"):
            session.episode(0, seconds=1.0)
    assert not any(servo["Torque_Enable"] for servo in twin.arm.servos)


def test_keys_speak_for_the_operator_of_a_real_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    twin = LockstepTwin(tmp_path, Settings(image_size=(96, 128)))
    config = robot((96, 128))
    said = {3: ["enter"], 12: ["s"]}
    told: list[str] = []
    session = real_session(config, Keyboard(), Script(said), say=told.append, robot=twin.robot, clock=twin.line)
    frames: list[Any] = []
    with session:
        assert session.episode(0, {"spot": "centre"}, on_frame=lambda *frame: frames.append(frame)) == "success"
    twin.close()
    assert frames
    assert any("autoarm-top-view.png" in text for text in told)
    with Image.open(tmp_path / "autoarm-top-view.png") as picture:
        assert picture.size == (128, 96)


@pytest.mark.slow
def test_the_command_leads_a_twin_by_a_twin(running: Callable[..., AbstractContextManager[Twin]]) -> None:
    """In real time, through two serial ports and two cameras: on a machine that is too busy this cannot pass."""
    with running(leader_hand=hand.wave, image_size=(96, 128)) as twin:
        robot = twin.folder.path / "robot.yaml"
        view = twin.folder.path.parent / "view.rrd"
        options = ["--teleop", "leader", "--body", "real", "--robot", str(robot), "--seconds", "6", "--view", str(view)]
        command = [sys.executable, "-m", "autoarm.cli", "teleop", *options]
        pairs = []
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
            while program.poll() is None:
                pairs.append((twin.leader.body.position, twin.follower.body.position))
                time.sleep(0.05)
            assert program.stdout is not None
            assert program.stdout.read().startswith(b"180 steps driven; ")
        assert view.stat().st_size > 100_000
    leader, follower = np.array(pairs[-100:-20]).transpose(1, 0, 2)
    assert np.ptp(leader[:, 0]) > 25
    assert np.median(np.abs(leader - follower)) < 3


# -- Gamepads --------------------------------------------------------------------------------------------------------


class Stick:
    """What LeRobot asks pygame's joystick, and the pad that it does not."""

    pad = (0, 0)

    def get_numhats(self) -> int:
        return 1

    def get_hat(self, number: int) -> tuple[int, int]:
        return self.pad


class Controller(InputController):
    """LeRobot's controller without pygame."""

    deltas = (0.0, 0.0, 0.0)
    joystick = Stick()

    def get_deltas(self) -> tuple[float, float, float]:
        return self.deltas


def test_a_gamepad_moves_the_gripper_and_speaks() -> None:
    source = make_source("gamepad")
    assert isinstance(source, Gamepad)
    controller = Controller()
    source._teleoperator.gamepad = controller
    start = np.array([0.0, -30.0, 30.0, 60.0, 85.0, 50.0])
    source.start(start)
    kinematics = ArmKinematics()
    before = grasp_pose(kinematics, start)
    controller.deltas = (1.0, -0.5, 0.0)
    controller.open_gripper_command = True
    controller.joystick.pad = (0, 1)
    for _ in range(4):
        goal = source.goal([])
    after = grasp_pose(kinematics, goal)
    moved = np.subtract(after.position, before.position)
    assert moved == pytest.approx(4 * np.array([FASTEST.x, -FASTEST.y / 2, 0.0]), abs=2e-3)
    assert after.tilt - before.tilt == pytest.approx(4 * FASTEST.tilt, abs=1.5)
    assert goal[spec.GRIPPER] == pytest.approx(50.0 + 4 * FASTEST.gripper)
    for status, event in [
        (TeleopEvents.SUCCESS, Event.SUCCESS),
        (TeleopEvents.FAILURE, Event.FAILURE),
        (TeleopEvents.RERECORD_EPISODE, Event.REPEAT),
    ]:
        controller.episode_end_status = status
        assert source.events() == [event]
        assert source.events() == []


def test_a_gamepad_without_pygame_is_an_error_that_helps() -> None:
    if importlib.util.find_spec("pygame") is not None:
        pytest.skip("pygame is installed")
    with pytest.raises(InvalidInputError, match="pip install pygame"):
        make_source("gamepad").connect()


# -- Views -----------------------------------------------------------------------------------------------------------


def test_a_view_is_written_to_a_file(tmp_path: Path) -> None:
    RrdReader = pytest.importorskip("rerun.experimental").RrdReader
    file = tmp_path / "view.rrd"
    env = PickIntoBoxEnv(image_size=(96, 128), time_limit=NO_TIME_LIMIT)
    keys, source = Script({0: ["enter"]}), Keyboard()
    with Session(
        env,
        ENV_ID,
        source,
        TeleopOperator(keys, source, say=str),
        keys,
        make_view(str(file)),
        Pacer(spec.FPS, Instant()),
    ) as session:
        session.episode(0, seconds=0.2)
        assert not file.exists()  # not before it is whole
    chunks = RrdReader(str(file)).store().stream().to_chunks()
    rows = {name: sum(chunk.num_rows for chunk in chunks if chunk.entity_path == name) for name in ("/state", "/goal")}
    assert rows == {"/state": 8, "/goal": 8}  # the start, six steps, and the names of the joints
    assert {"/camera/top", "/camera/lateral"} <= {chunk.entity_path for chunk in chunks}


@pytest.mark.parametrize("target", ["view.mp4", "window"])
def test_a_view_of_another_kind_is_refused(target: str) -> None:
    with pytest.raises(InvalidInputError, match="view"):
        make_view(target)


def test_a_window_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rerun")
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInputError, match="no display"):
        make_view("live")


# -- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"teleop": "leader"}, "teleop"),
        ({"teleop": "keyboard"}, "teleop"),
        ({"teleop": "gamepad", "body": "real"}, "robot"),
    ],
)
def test_what_is_missing_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:  # there is no terminal in a test, and no robot's file
        open_session(**options)
    assert caught.value.field == field
