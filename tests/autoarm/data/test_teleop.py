"""Recording a person: which episodes are kept, what is known of them, and that the result is a dataset like others."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.commands.collect import Collect
from autoarm.data.collect import Collected, collect
from autoarm.data.collection import SIDECAR, Collection
from autoarm.data.dataset import check_dataset, demonstrations, open_lerobot, read_collection
from autoarm.data.recording import episode_seed
from autoarm.data.teleop import collect_by_hand
from autoarm_hardware.config import RobotConfig
from autoarm_hardware.teleop.rig import real_session, simulated_session
from autoarm_hardware.teleop.session import Session
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidInputError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.model import yaw_quaternion
from gym_autoarm.sampling import SceneDistribution

SMALL = (96, 128)


class Instant:
    """A clock on which waiting takes no time."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


KEYS = {"start": "enter", "previous": "r", "leave": "q", "again": "r", "keep": "n", "fail": "f", "pause": "space"}


class Person:
    """Somebody who drives as the expert does, and says what a list of words says, episode by episode.

    A word `again@6` is said after 6 steps of an episode; `start`, `previous` and `leave` where one could start. Without
    a word, the episode goes on until it is over.
    """

    is_there = True
    help = ""
    is_ready = True

    def __init__(self, *words: str) -> None:
        self._words = list(words)
        self._steps: int | None = None
        self.session: Session | None = None
        self.told: list[str] = []

    # -- As keys

    def take(self) -> list[str]:
        if self._steps is None:
            word = self._words.pop(0) if self._words else "leave"
            self._steps = -1 if word == "start" else None
            return [KEYS[word]]
        self._steps += 1
        if self._words and "@" in self._words[0]:
            word, steps = self._words[0].split("@")
            if int(steps) == self._steps - 1:
                self._words.pop(0)
                return [KEYS[word]]
        return []

    def wait(self, seconds: float) -> None: ...

    # -- As a source

    def connect(self) -> None: ...

    def start(self, goal: Any) -> None:
        assert self.session is not None
        scene = self.session.scene
        cube = np.array([scene.cube.x, scene.cube.y, scene.cube.size / 2, *yaw_quaternion(scene.cube.yaw)])
        box = np.array([scene.box.x, scene.box.y, 0.0, *yaw_quaternion(scene.box.yaw)])
        self._plan = list(Expert().plan(cube, box, goal, Style(speed=2.5), scene.cube.size))

    def goal(self, pressed: Sequence[str]) -> Any:
        return self._plan.pop(0) if len(self._plan) > 1 else self._plan[0]

    def events(self) -> list[Any]:
        return []

    def close(self) -> None: ...

    # -- Both

    def record(self, out: Path, session: Session | None = None, **options: Any) -> Collected | None:
        session = session or simulated_session(self, self, None, SMALL, clock=Instant(), say=self.told.append)
        self.session = session
        reset = session._env.reset

        def begin(**arguments: Any) -> Any:
            self._steps = None
            return reset(**arguments)

        session._env.reset = begin  # type: ignore[method-assign]
        with session:
            return collect_by_hand(out, session, "keyboard", say=self.told.append, **options)


TWO_BY_TWO: dict[str, Any] = {"spots": "centre,near-left", "episodes_per_spot": 2}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Person]]:
    """Four episodes, recorded on two days, with everything that can be said."""
    out = tmp_path_factory.mktemp("by-hand") / "d"
    one = Person(
        *("start", "again@6", "start", "pause@4", "pause@9", "keep@12"),  # 0: at the second attempt, 7 frames
        *("start", "keep@3", "previous", "start", "keep@5"),  # 1: taken back, then 5 frames
        *("start", "fail@3", "start", "keep@2"),  # 2: at the second attempt, 2 frames
        "leave",
    )
    assert one.record(out, **TWO_BY_TWO) is None
    assert not out.exists()
    two = Person("start")  # 3: success
    collected = two.record(out, **TWO_BY_TWO)
    assert collected is not None
    assert collected.kept == 3
    return out, [one, two]


def test_exactly_the_episodes_that_were_kept_are_recorded(recording: tuple[Path, list[Person]]) -> None:
    collection = read_collection(recording[0])
    assert [(e.attempts, e.success) for e in collection.episodes] == [(2, False), (2, False), (2, False), (1, True)]
    placings = [collection.settings.placing(index) for index in range(4)]
    assert [e.spot for e in collection.episodes] == [spot for spot, _ in placings]
    assert sorted(placings) == [("centre", 0), ("centre", 1), ("near-left", 0), ("near-left", 1)]
    assert [e.frames for e in collection.episodes][:3] == [7, 5, 2]
    assert collection.episodes[3].frames > 100
    assert collection.teleop == "keyboard"
    assert collection.env_id == "gym_autoarm/PickIntoBox-v0"
    assert not recording[0].with_name("d.partial").exists()


def test_scenes_are_those_of_the_expert(recording: tuple[Path, list[Person]]) -> None:
    collection = read_collection(recording[0])
    for index, episode in enumerate(collection.episodes):
        assert episode.seed == episode_seed(0, *collection.settings.placing(index))
        assert episode.scene == json.loads(json.dumps(asdict(SceneDistribution().sample(episode.seed, episode.spot))))


def test_the_dataset_is_like_any_other(recording: tuple[Path, list[Person]], tiny_dataset: Path) -> None:
    ours, theirs = (open_lerobot(folder) for folder in (recording[0], tiny_dataset))
    assert ours.meta.features == theirs.meta.features
    assert ours.meta.robot_type == theirs.meta.robot_type
    assert ours.meta.total_episodes == 4
    assert ours[0]["task"] == spec.TASK
    assert ours[len(ours) - 1]["observation.images.lateral"].shape == (3, *SMALL)
    info = check_dataset(recording[0])
    assert info.frames == sum(episode.frames for episode in read_collection(recording[0]).episodes)


def test_a_pause_leaves_no_gap(recording: tuple[Path, list[Person]]) -> None:
    first = demonstrations(recording[0])[0]
    assert np.abs(np.diff(first.actions, axis=0)).max() < 3.0


def test_it_is_trained_on(
    recording: tuple[Path, list[Person]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoarm.training.config import Phase
    from autoarm.training.presets import CPU
    from autoarm.training.run import train

    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    small = {"dim_model": 32, "dim_feedforward": 48, "n_heads": 4, "n_encoder_layers": 1, "chunk_size": 8}
    config = replace(
        CPU,
        image_size=(32, 48),
        policy={**CPU.policy, **small, "n_action_steps": 4, "pretrained_backbone_weights": None},
        phases=(Phase(steps=1, batch_size=2, warmup=1),),
    )
    assert (train(recording[0], tmp_path / "run", config, "cpu", quiet=True) / "model.safetensors").is_file()


def test_the_person_is_told(recording: tuple[Path, list[Person]]) -> None:
    told = recording[1][0].told
    for text in ("Episode 1 of 4, cube centre.", "Episode 1 of 4, cube centre, attempt 2.", "Discarded."):
        assert text in told
    assert told.count("Episode 2 is discarded.") == 1
    assert any("without success" in text for text in told)
    assert any(text.startswith("Success") for text in recording[1][1].told)


def test_there_is_nothing_before_the_first_episode(tmp_path: Path) -> None:
    person = Person("previous", "leave")
    assert person.record(tmp_path / "d", **TWO_BY_TWO) is None
    assert "There is no episode before this one." in person.told
    assert Person("leave").record(tmp_path / "d", **TWO_BY_TWO) is None


def test_an_episode_that_never_began_is_not_kept(tmp_path: Path) -> None:
    person = Person("start", "keep@0", "start", "keep@1", "leave")
    assert person.record(tmp_path / "d", **TWO_BY_TWO) is None
    assert person.told.count("Discarded.") == 2
    assert not list((tmp_path / "d.partial").glob("episode-*"))


def test_time_is_up(tmp_path: Path) -> None:
    person = Person("start", "leave")
    assert person.record(tmp_path / "d", episode_time=1.0, **TWO_BY_TWO) is None
    assert "No success: discarded." in person.told
    assert not [path for path in (tmp_path / "d.partial").iterdir() if path.is_dir()]


def test_an_error_leaves_what_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "d"
    person = Person("start", "keep@3", "start")
    goal: Callable[[Sequence[str]], Any] = person.goal
    count = 0

    def fail(pressed: Sequence[str]) -> Any:
        nonlocal count
        count += 1
        if count == 6:
            raise AutoArmError("the leader fell off the table")
        return goal(pressed)

    person.goal = fail  # type: ignore[method-assign]
    with pytest.raises(AutoArmError, match="off the table"):
        person.record(out, **TWO_BY_TWO)
    assert [path.name for path in out.with_name("d.partial").glob("episode-*")] == ["episode-000000"]
    again = Person("start", "keep@3", "leave")
    assert again.record(out, **TWO_BY_TWO) is None
    assert any(text.startswith("Episode 2 of 4, cube ") for text in again.told)
    assert not list(out.with_name("d.partial").glob("unfinished-*"))


def test_a_real_arm_is_recorded_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # for the picture of where the cube goes
    height, width = SMALL
    camera = {"type": "opencv", "index_or_path": 0, "height": height, "width": width, "fps": spec.FPS}
    config = RobotConfig(port="a virtual line", id="follower", cameras=dict.fromkeys(spec.CAMERAS, camera))
    twin = LockstepTwin(tmp_path, Settings(image_size=SMALL), cameras=False)
    person = Person("start", "again@3", "start", "keep@4")
    session = real_session(config, person, person, say=person.told.append, robot=twin.robot, clock=twin.line)
    collected = person.record(tmp_path / "d", session, spots="centre", episodes_per_spot=1)
    assert collected is not None
    assert collected.collection.env_id == "autoarm_hardware/PickIntoBox-v0"
    (episode,) = collected.collection.episodes
    assert (episode.frames, episode.attempts, episode.success) == (4, 2, False)
    assert episode.scene == json.loads(json.dumps(asdict(SceneDistribution().sample(episode.seed, "centre"))))
    assert check_dataset(tmp_path / "d").frames == 4
    assert not any(servo["Torque_Enable"] for servo in twin.arm.servos)


# -- The command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_hears_the_terminal(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    options = ["--spots", "centre", "--episodes-per-spot", "1", "--image-size", *map(str, SMALL)]
    command = [sys.executable, "-m", "autoarm.cli", "collect", "--out", str(tmp_path / "d"), "--teleop", "keyboard"]
    with subprocess.Popen([*command, *options], stdin=its, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stderr is not None
        assert program.stdout is not None
        told = ""

        def wait_for(text: str) -> None:
            nonlocal told
            while text not in told:
                line = program.stderr.readline().decode()  # type: ignore[union-attr]
                assert line, told
                told += line

        wait_for("Press Enter")
        os.write(ours, b"\r")
        for key in (*b"iiiuuu", *b"  "):
            time.sleep(0.2)
            os.write(ours, bytes([key]))
        wait_for("It goes on.")
        time.sleep(0.5)
        os.write(ours, b"\x1b[C")  # the right arrow
        assert program.wait(120) == 0
        assert program.stdout.read().decode().startswith("1 episodes, ")
        assert "i k: ahead, back" in told
    assert termios.tcgetattr(its) == before
    (recorded,) = demonstrations(tmp_path / "d")
    assert read_collection(tmp_path / "d").episodes[0].success is False
    assert np.ptp(recorded.actions[:, 1]) > 3.0


# -- Bad input -------------------------------------------------------------------------------------------------------


def test_a_recording_of_the_expert_is_not_gone_on_with(tiny_dataset: Path) -> None:
    with pytest.raises(InvalidInputError, match="teleop"):
        Person().record(tiny_dataset, spots="centre,near-left", episodes_per_spot=1)


def test_a_recording_of_a_person_is_not_gone_on_with_by_the_expert(recording: tuple[Path, list[Person]]) -> None:
    with pytest.raises(InvalidInputError, match="teleop"):
        collect(recording[0], **TWO_BY_TWO, image_size=SMALL)
    assert Collection.load(recording[0] / SIDECAR).teleop == "keyboard"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"episode_time": 0.0}, "episode_time"),
        ({"episodes_per_spot": 0}, "episodes_per_spot"),
        ({"spots": "attic"}, "spot"),
    ],
)
def test_wrong_options_are_named_before_anything_is_driven(
    options: Mapping[str, Any], field: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Person().record(tmp_path / "d", **options)
    assert caught.value.field == field
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"body": "real"}, "body"),
        ({"view": "live"}, "view"),
        ({"robot": Path("my-arm.yaml")}, "robot"),
        ({"teleop": "keyboard"}, "teleop"),  # there is no terminal in a test
        ({"teleop": "leader", "workers": 2}, "workers"),
        ({"teleop": "leader", "body": "real"}, "robot"),
    ],
)
def test_options_of_the_command_that_do_not_fit(options: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Collect(out=tmp_path / "d", **options).run()
    assert caught.value.field == field
    assert list(tmp_path.iterdir()) == []
