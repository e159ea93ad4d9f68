"""Recording: what is in the dataset, that it repeats, and that nothing is lost or half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoarm.commands.collect import Collect
from autoarm.data.card import CARD
from autoarm.data.collect import collect, collection_settings, parse_spots
from autoarm.data.collection import SIDECAR, Collection
from autoarm.data.dataset import Demonstration, check_dataset, demonstrations, episode_frames, open_lerobot
from autoarm.data.recording import episode_seed
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import AutoArmError, InvalidFileError, InvalidInputError, UnreachablePoseError
from gym_autoarm.expert import Expert
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene

SMALL = (96, 128)


def same(one: list[Demonstration], other: list[Demonstration]) -> bool:
    """Whether the numbers of two recordings are equal, bit for bit."""
    return len(one) == len(other) and all(
        np.array_equal(a.states, b.states) and np.array_equal(a.actions, b.actions) and a.cube_xy == b.cube_xy
        for a, b in zip(one, other, strict=True)
    )


def files(folder: Path) -> dict[str, int]:
    """Every file below a folder and when it was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# -- What is recorded ------------------------------------------------------------------------------------------------


def test_features_are_the_contract(tiny_dataset: Path) -> None:
    dataset = open_lerobot(tiny_dataset)
    assert dataset.meta.fps == 30
    assert dataset.meta.robot_type == spec.ROBOT_TYPE
    assert dataset.meta.camera_keys == ["observation.images.top", "observation.images.lateral"]
    assert dataset.meta.features["action"]["names"] == [f"{joint}.pos" for joint in spec.JOINTS]
    item = dataset[0]
    assert item["task"] == spec.TASK
    assert item["observation.state"].shape == item["action"].shape == (6,)
    assert item["observation.images.top"].shape == (3, *SMALL)
    stats = json.loads((tiny_dataset / "meta/stats.json").read_text())
    assert {"observation.state", "action", "observation.images.top", "observation.images.lateral"} <= stats.keys()


def test_recorded_actions_repeat_the_recorded_episode(tiny_dataset: Path) -> None:
    sidecar = Collection.load(tiny_dataset / SIDECAR)
    env = PickIntoBoxEnv(cameras=False)
    for episode, demonstration in zip(sidecar.episodes, demonstrations(tiny_dataset), strict=True):
        scene = SceneDistribution().sample(episode.seed, episode.spot)
        assert json.loads(json.dumps(asdict(scene))) == episode.scene
        observation, _ = env.reset(seed=0, options={"scene": scene})
        terminated = False
        for state, action in zip(demonstration.states, demonstration.actions, strict=True):
            assert not terminated
            assert np.array_equal(observation["agent_pos"], state)
            observation, _, terminated, _, _ = env.step(action)
        assert terminated


def test_frames_show_what_was_seen_before_each_action(tiny_dataset: Path) -> None:
    episode = Collection.load(tiny_dataset / SIDECAR).episodes[1]
    actions = demonstrations(tiny_dataset)[1].actions
    env = PickIntoBoxEnv(image_size=SMALL)
    scene = SceneDistribution().sample(episode.seed, episode.spot)
    observation, _ = env.reset(seed=0, options={"scene": scene})
    step = 60
    before = env.step_chunk(actions[:step])[0]
    env.close()
    for camera in spec.CAMERAS:
        decoded = episode_frames(tiny_dataset, 1, camera)
        assert len(decoded) == len(actions)
        distances = [float(np.abs(frame.astype(int) - before["pixels"][camera]).mean()) for frame in decoded]
        assert int(np.argmin(distances)) == step
        assert psnr(decoded[0], observation["pixels"][camera]) > 30  # chroma is halved in so small a frame


def psnr(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Peak signal-to-noise ratio of two uint8 frames, dB."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.mark.lengthy
def test_full_size_frames_survive_the_codec(tmp_path: Path) -> None:
    out = collect(tmp_path / "full", spots="far-left", episodes_per_spot=1, workers=1).folder
    assert check_dataset(out).image_size == (480, 640)
    episode = Collection.load(out / SIDECAR).episodes[0]
    env = PickIntoBoxEnv()
    scene = SceneDistribution().sample(episode.seed, episode.spot)
    observation, _ = env.reset(seed=0, options={"scene": scene})
    env.close()
    for camera in spec.CAMERAS:
        assert psnr(episode_frames(out, 0, camera)[0], observation["pixels"][camera]) >= 35


# -- It repeats ------------------------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_processes_and_company_do_not_matter(tiny_dataset: Path, tmp_path: Path) -> None:
    """An episode is the same whichever process records it and whatever is recorded beside it."""
    out = collect(
        tmp_path / "d", spots=("near-left", "centre"), episodes_per_spot=2, image_size=SMALL, workers=2
    ).folder
    near, _, centre, _ = demonstrations(out)
    assert same([centre, near], demonstrations(tiny_dataset))


def test_seeds_of_episodes_differ() -> None:
    places = [(spot, episode, attempt) for spot in (None, *spec.SPOTS) for episode in range(50) for attempt in (0, 1)]
    assert len({episode_seed(3, *place) for place in places}) == len(places)
    assert episode_seed(3, "centre", 0) != episode_seed(4, "centre", 0)


def test_everywhere_covers_more_than_spots(tmp_path: Path) -> None:
    out = collect(
        tmp_path / "d", spots="everywhere", episodes=2, seed=5, image_size=SMALL, vcodec="libsvtav1", workers=1
    )
    assert [episode.spot for episode in out.collection.episodes] == [None, None]
    first, second = (episode.cube_xy for episode in out.collection.episodes)
    assert np.hypot(first[0] - second[0], first[1] - second[1]) > 0.01
    check_dataset(out.folder)
    info = json.loads((out.folder / "meta/info.json").read_text())
    assert info["features"]["observation.images.top"]["info"]["video.codec"] == "av1"


def test_a_failed_attempt_is_repeated_with_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, calls = Expert.plan, []

    def fail_once(self: Expert, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise UnreachablePoseError("too far")
        actions = plan(self, *arguments)
        return actions[:40] if len(calls) == 2 else actions  # gives up half-way

    monkeypatch.setattr(Expert, "plan", fail_once)
    collected = collect(tmp_path / "d", spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1)
    (episode,) = collected.collection.episodes
    assert episode.attempts == 3
    assert episode.seed == episode_seed(0, "centre", 0, attempt=2)
    assert len(demonstrations(collected.folder)[0].actions) == episode.frames > 40


def test_an_expert_that_never_succeeds_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Expert, *arguments: Any) -> Any:
        raise UnreachablePoseError("too far")

    monkeypatch.setattr(Expert, "plan", fail)
    with pytest.raises(AutoArmError, match="failed 10 times at centre"):
        collect(tmp_path / "d", spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1)
    assert not (tmp_path / "d").exists()


# -- Nothing is lost -------------------------------------------------------------------------------------------------

PROGRAM = """
from pathlib import Path
from autoarm.commands.collect import Collect
if __name__ == "__main__":
    Collect(out=Path({out!r}), spots="centre", episodes_per_spot=3, image_size=(96, 128), workers=2).run()
"""


@pytest.mark.lengthy
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    out, partial = tmp_path / "d", tmp_path / "d.partial"
    script = tmp_path / "record.py"
    script.write_text(PROGRAM.format(out=str(out)))
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        deadline = time.monotonic() + 240
        while not list(partial.glob("episode-*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert psutil.wait_procs(workers, timeout=20)[1] == [], "the recording processes outlive their parent"
    assert not out.exists()
    finished = {path.name: files(path) for path in partial.glob("episode-*")}
    assert 0 < len(finished) < 3

    # Other options must not continue this recording.
    with pytest.raises(InvalidInputError, match=r"settings\.seed: was recorded with 0, 1 is asked for"):
        collect(out, spots="centre", episodes_per_spot=3, image_size=SMALL, seed=1)

    kept: dict[str, dict[str, int]] = {}

    def look(done: int, wanted: int) -> None:
        kept.update({name: files(partial / name) for name in finished})

    resumed = collect(out, spots="centre", episodes_per_spot=3, image_size=SMALL, workers=1, on_progress=look)
    assert resumed.kept == len(finished)
    assert kept == finished
    assert not partial.exists()
    whole = collect(tmp_path / "whole", spots="centre", episodes_per_spot=3, image_size=SMALL, workers=1)
    assert same(demonstrations(out), demonstrations(whole.folder))
    assert resumed.collection == whole.collection == Collection.load(out / SIDECAR)
    for camera in spec.CAMERAS:
        assert np.array_equal(episode_frames(out, 2, camera), episode_frames(whole.folder, 2, camera))


@pytest.mark.lengthy
def test_killed_while_joining(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "d"

    class Killed(BaseException):
        pass

    def die(self: Collection, path: Path) -> None:
        if path.parent.name == "meta":  # of the joined dataset, which is all but finished
            raise Killed
        save(self, path)

    save = Collection.save
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "save", die)
        with pytest.raises(Killed):
            collect(out, spots="centre,near-left", episodes_per_spot=1, image_size=SMALL, workers=1)
    assert not out.exists()
    collected = collect(out, spots="centre,near-left", episodes_per_spot=1, image_size=SMALL, workers=1)
    assert collected.kept == 2
    assert same(demonstrations(out), demonstrations(tiny_dataset))
    assert not out.with_name("d.partial").exists()


def test_a_finished_recording_is_left_alone(tiny_dataset: Path) -> None:
    before = files(tiny_dataset)
    again = collect(tiny_dataset, spots="centre,near-left", episodes_per_spot=1, image_size=SMALL)
    assert again.kept == 2
    assert files(tiny_dataset) == before


def test_one_process_at_a_time(tmp_path: Path) -> None:
    def again(done: int, wanted: int) -> None:
        with pytest.raises(InvalidInputError, match="another process"):
            collect(tmp_path / "d", spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1)

    collect(tmp_path / "d", spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1, on_progress=again)


def test_the_command_reports_and_exits_with_0(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = Collect(out=tmp_path / "d", spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1)
    assert command.run() == 0
    told = capfd.readouterr()
    assert told.out.startswith("1 episodes, ")
    assert "x264" not in told.err, "the encoder's statistics are of no use to a user"


def test_scenes_may_be_drawn_at_random(tmp_path: Path) -> None:
    area = ((0.16, 0.30), (-0.02, 0.16))
    options: dict[str, Any] = {"spots": "spread", "episodes": 3, "image_size": SMALL, "workers": 1, "area": area}
    collected = collect(tmp_path / "d", vary=["surface", "camera"], **options)
    settings = collected.collection.settings
    assert (settings.vary, settings.area) == (("surface", "camera"), area)
    written = json.loads((tmp_path / "d" / SIDECAR).read_text())["settings"]
    assert written["vary"] == ["surface", "camera"]
    scenes = [episode.scene for episode in collected.collection.episodes]
    assert any(scene["surface"] != "oak" for scene in scenes)
    for index, episode in enumerate(collected.collection.episodes):
        drawn = settings.distribution.sample(episode.seed, settings.placing(index)[0])
        assert episode.scene == json.loads(json.dumps(asdict(drawn)))
    assert Collection.load(tmp_path / "d" / SIDECAR) == collected.collection
    card = (tmp_path / "d" / CARD).read_text()
    assert "surface" in card
    assert "0.16" in card


def test_settings_at_their_defaults_are_left_out(tmp_path: Path) -> None:
    settings = collection_settings("five", 1, None, 0, SMALL, "h264")
    assert not {"vary", "area", "order", "scene"} & settings.model_dump().keys()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"vary": ("weather",)}, "vary"),
        ({"area": ((0.2, 0.25), (0.0, 0.1))}, "area"),
        ({"spots": "everywhere", "area": ((0.3, 0.2), (0.0, 0.1))}, "area"),
    ],
)
def test_scenes_that_cannot_be_drawn(tmp_path: Path, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        collect(tmp_path / "d", **options)
    assert caught.value.field == field
    assert not list(tmp_path.iterdir())


def test_cameras_may_stand_where_the_real_ones_do(tmp_path: Path) -> None:
    base = replace(Scene(), top=replace(Scene().top, fovy=50.0))
    folder = collect(tmp_path / "d", spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1, base=base).folder
    (episode,) = Collection.load(folder / SIDECAR).episodes
    assert episode.scene["top"]["fovy"] == 50.0
    with pytest.raises(InvalidInputError, match=r"settings\.scene"):
        collect(folder, spots="centre", episodes_per_spot=1, image_size=SMALL, workers=1)


def test_settings_of_the_first_datasets_are_written_as_they_were() -> None:
    """Their digests cover the file: a field that they did not have must not appear."""
    first = collection_settings("five", 10, None, 0, spec.IMAGE_SIZE, "h264")
    assert set(json.loads(first.model_dump_json())) == {"seed", "spots", "episodes", "image_size", "vcodec"}


@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**32))
def test_shuffled_episodes_are_those_of_the_spots_in_turn(spots: int, episodes: int, seed: int) -> None:
    names = ",".join(list(spec.SPOTS)[:spots])
    in_turn = collection_settings(names, episodes, None, seed, spec.IMAGE_SIZE, "h264")
    shuffled = in_turn.model_copy(update={"order": "shuffled"})
    placings = [[each.placing(index) for index in range(each.total)] for each in (in_turn, shuffled)]
    assert sorted(placings[1]) == sorted(placings[0])
    if spots > 1 and episodes > 4:
        assert placings[1] != placings[0]


def test_card_says_what_was_recorded(tiny_dataset: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(tiny_dataset / CARD)
    assert card.data.task_categories == ["robotics"]
    assert {"LeRobot", "SO-101", "simulation"} <= set(card.data.tags)
    for text in ("2 demonstrations", "2 spots", "so101-12v", "shuffled", spec.TASK, "Random seed: 0"):
        assert text in card.text


# -- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"spots": "middle"}, "spot"),
        ({"spots": "centre,centre"}, "spots"),
        ({"spots": ""}, "spot"),
        ({"episodes_per_spot": 0}, "episodes_per_spot"),
        ({"spots": "everywhere", "episodes": 0}, "episodes"),
        ({"spots": "spread", "episodes": 0}, "episodes"),
        ({"spots": "0.2:0.05:left"}, "spot"),
        ({"spots": "five", "episodes": 3}, "episodes"),
        ({"seed": -1}, "seed"),
        ({"image_size": (481, 640)}, "image_size"),
        ({"image_size": (95, 128)}, "image_size"),
        ({"vcodec": "mpeg2"}, "vcodec"),
        ({"workers": 0}, "workers"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(
    options: dict[str, Any], field: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        collect(tmp_path / "d", **options)
    assert caught.value.field == field
    assert list(tmp_path.iterdir()) == []


def test_spots_are_named_in_order() -> None:
    assert parse_spots("five") == tuple(spec.SPOTS)
    assert parse_spots("centre, near-left") == ("centre", "near-left")
    assert parse_spots("everywhere") == ()


@pytest.mark.parametrize("name", ["d", "d.partial"])
def test_a_folder_of_somebody_else_is_not_touched(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidFileError, match=name):
        collect(tmp_path / "d", spots="centre", episodes_per_spot=1)
    assert files(tmp_path).keys() == {f"{name}/thesis.tex"}


def test_a_dataset_with_other_settings_is_not_touched(tiny_dataset: Path) -> None:
    before = files(tiny_dataset)
    with pytest.raises(InvalidInputError, match=r"settings\.episodes"):
        collect(tiny_dataset, spots="centre,near-left", episodes_per_spot=2, image_size=SMALL)
    assert files(tiny_dataset) == before


def test_a_full_disk_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 10**6))
    with pytest.raises(InvalidInputError, match="GiB are needed"):
        collect(tmp_path / "below" / "d", spots="centre", episodes_per_spot=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidFileError, match="cannot be written"):
        collect(tmp_path / "file" / "d", spots="centre", episodes_per_spot=1)
