from __future__ import annotations

import json
from dataclasses import replace

import av
import numpy as np
import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from rich.console import Console

from autoarm.commands.eval import Eval, result_table
from autoarm.evaluation.evaluate import evaluate
from autoarm.evaluation.rollout import closest_approach, path_length, rollout
from autoarm.policies.loading import load_policy
from autoarm.policies.lookup import NearestPolicy
from autoarm.results.journal import journal_path
from autoarm.results.result import Result, group_intervals, success_interval
from autoarm.statistics import wilson_interval
from autoarm.suite.episodes import EVERYWHERE, Episode, plan_episodes
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import AutoArmError, InvalidFileError, InvalidInputError
from gym_autoarm.kinematics import ArmKinematics
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import restore_scene

SMALL = (96, 128)
EVERYWHERE_DISTRIBUTION = SceneDistribution(cube="everywhere")


class Scripted:
    """Moves by what a function of the step says; an exception in its place is raised."""

    name = "scripted"
    needs_images = False

    def __init__(self, *replies: object) -> None:
        self._replies = replies

    def reset(self, seed, info):
        self._turn = 0

    def act(self, observation, info):
        reply = self._replies[min(self._turn, len(self._replies) - 1)]
        self._turn += 1
        if isinstance(reply, Exception):
            raise reply
        return reply


def still(steps=10):
    return np.tile(np.array([30, -98, 72, 85, 90, 45], np.float32), (steps, 1))


# -- Ceiling and floors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", [SceneDistribution(cube="spots"), EVERYWHERE_DISTRIBUTION])
def test_the_expert_succeeds(distribution):
    result = evaluate("expert", distribution=distribution, episodes=20, seed=1)
    assert result.overall.rate >= 0.95
    assert all(row.stage == "place" for row in result.rows if row.success)
    assert result.platform.gl_renderer is None  # nobody looked


@pytest.mark.parametrize("name", ["no-op", "random"])
def test_those_who_know_nothing_fail(name):
    result = evaluate(name, episodes=5, time_limit=200)
    assert result.overall.successes == 0
    assert {row.steps for row in result.rows} == {200}


def test_the_lookup_table_succeeds_where_it_has_been(tiny_dataset):
    policy = NearestPolicy(tiny_dataset)
    scenes = [record["scene"] for record in json.loads((tiny_dataset / "meta/autoarm.json").read_text())["episodes"]]
    env = PickIntoBoxEnv(SMALL)
    for scene in scenes:
        done = rollout(env, policy, Episode("seen", 0, 0, TypeAdapter(Scene).validate_python(scene)))
        assert done.row.success
    far = Episode("unseen", 0, 0, SceneDistribution().base)
    far = replace(far, scene=replace(far.scene, cube=replace(far.scene.cube, x=0.26, y=-0.05)))
    assert not rollout(env, policy, far).row.success
    env.close()


# -- Repeatability -----------------------------------------------------------------------------------------------------


LOOKER = """
import numpy as np

class Looker:
    name, needs_images = "looker", True

    def reset(self, seed, info):
        self.rng = np.random.default_rng(seed)

    def act(self, observation, info):
        shades = [view.mean(axis=(0, 1)) for view in observation["pixels"].values()]
        return observation["agent_pos"] + np.concatenate(shades) / 20 - 6 + self.rng.normal(size=(9, 6))
"""


@pytest.mark.lengthy
def test_rows_depend_on_the_seed_alone_and_not_on_the_processes(tmp_path, monkeypatch):
    (tmp_path / "looking.py").write_text(LOOKER)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {"episodes": 5, "image_size": SMALL, "time_limit": 40}
    here = evaluate("looking:Looker", **settings, seed=4)
    seen = []
    there = evaluate("looking:Looker", **settings, seed=4, workers=2, videos=tmp_path, progress=seen.append)
    assert [now.done for now in seen] == list(range(6))
    assert sorted((now.row for now in seen[1:]), key=here.rows.index) == here.rows
    assert [row.model_copy(update={"video": None}) for row in there.rows] == here.rows
    assert (there.overall, there.groups) == (here.overall, here.groups)
    assert all((tmp_path / row.video).is_file() for row in there.rows)
    assert min(row.path_length for row in here.rows) > 0.01
    other = evaluate("looking:Looker", **settings, seed=5)
    assert not {row.path_length for row in here.rows} & {row.path_length for row in other.rows}


@given(st.integers(1, 23), st.integers(0, 2**40))
def test_episodes_are_spread_over_the_spots_in_order(episodes, seed):
    planned = plan_episodes(SceneDistribution(cube="spots"), episodes, seed)
    groups = [episode.group for episode in planned]
    counts = [groups.count(spot) for spot in spec.SPOTS]
    assert sum(counts) == episodes
    assert max(counts) - min(counts) <= 1
    assert groups == sorted(groups, key=list(spec.SPOTS).index)
    assert len({episode.seed for episode in planned}) == episodes
    for episode in planned:
        x, y = spec.SPOTS[episode.group]
        assert np.hypot(episode.scene.cube.x - x, episode.scene.cube.y - y) < 0.005


def test_asking_for_more_episodes_keeps_those_there_were():
    few, many = (plan_episodes(SceneDistribution(cube="spots"), n, 3) for n in (10, 25))
    assert set(few) <= set(many)
    one_spot = plan_episodes(SceneDistribution(cube="spots", spots=("centre",)), 2, 3)
    assert set(one_spot) <= set(few)
    assert {episode.group for episode in plan_episodes(SceneDistribution(), 3, 0)} == {EVERYWHERE}


def test_a_row_holds_all_that_repeats_it():
    result = evaluate("random", episodes=2, seed=8, time_limit=60)
    row = Result.model_validate_json(result.model_dump_json()).rows[1]
    env = PickIntoBoxEnv(cameras=False, time_limit=60)
    again = Episode(row.group, row.index, row.seed, restore_scene(row.scene), row.level)
    assert rollout(env, load_policy("random"), again).row == row


# -- What a row says ---------------------------------------------------------------------------------------------------


def test_measures_of_a_chunk_are_those_of_its_steps():
    actions = still(40)
    actions[:, 0] -= np.arange(40, dtype=np.float32)
    actions[:, 1] += np.arange(40, dtype=np.float32)
    scene = SceneDistribution(cube="spots").sample(2)
    env = PickIntoBoxEnv(cameras=False, time_limit=40)
    done = rollout(env, Scripted(actions), Episode("any", 0, 2, scene))
    np.testing.assert_array_equal(done.actions, actions)

    arm = ArmKinematics()
    observation, info = env.reset(seed=2, options={"scene": scene})
    grasp, cube = [arm.forward(observation["agent_pos"])[0]], [info["cube_pose"][:3]]
    for action in actions:
        observation, _, _, _, info = env.step(action)
        grasp.append(arm.forward(observation["agent_pos"])[0])
        cube.append(info["cube_pose"][:3])
    ways = np.linalg.norm(np.diff(grasp, axis=0), axis=1)
    distances = np.linalg.norm(np.subtract(grasp, cube), axis=1)
    assert ways.sum() > 0.05
    assert done.row.path_length == pytest.approx(ways.sum(), abs=1e-4)
    assert done.row.closest == pytest.approx(distances.min(), abs=1e-5)
    assert (done.row.steps, done.row.stage, done.row.error) == (40, "reach", None)


def test_path_measures_have_their_known_values():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    assert path_length(square) == 3.0
    assert path_length(square[:1]) == 0.0
    assert closest_approach(square, np.array([0.5, 1, 0])) == 0.5


def test_intervals_count_the_rows():
    rows = evaluate("no-op", episodes=7, time_limit=2).rows
    rows = [row.model_copy(update={"success": number % 3 == 0}) for number, row in enumerate(rows)]
    overall, groups = success_interval(rows), group_intervals(rows)
    assert (overall.successes, overall.episodes) == (3, 7)
    assert (overall.low, overall.high) == wilson_interval(3, 7)
    assert list(groups) == list(spec.SPOTS)
    assert sum(interval.successes for interval in groups.values()) == 3


# -- Policies that misbehave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (np.full((5, 6), np.nan), "InvalidActionError: action: goal of shoulder_pan"),
        (np.zeros((5, 7)), "(5, 7)"),
        (np.zeros(6), "(6,)"),
        (np.zeros((0, 6)), "(0, 6)"),
        ("left a bit", "ValueError"),
        (None, "Error"),
        (RuntimeError("out of ideas"), "RuntimeError: out of ideas"),
    ],
)
def test_an_episode_that_a_policy_breaks_is_a_failure_and_the_run_goes_on(reply, said):
    result = evaluate(Scripted(still(10), reply), episodes=2)
    assert len(result.rows) == 2
    for row in result.rows:
        assert not row.success
        assert row.steps == 10
        assert said in row.error


def test_a_bad_action_late_in_a_chunk_stops_the_whole_chunk():
    actions = still(20)
    actions[15, 2] = np.inf
    (row,) = evaluate(Scripted(actions), episodes=1).rows
    assert row.steps == 0
    assert "elbow_flex" in row.error


def test_a_policy_that_breaks_at_reset_is_recorded():
    policy = Scripted(still())
    policy.reset = lambda seed, info: 1 / 0
    (row,) = evaluate(policy, episodes=1).rows
    assert row.error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "wrong", [{"episodes": 0}, {"seed": -1}, {"workers": 0}, {"time_limit": 0}, {"image_size": (0, 9)}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        evaluate("no-op", **wrong)


def test_an_interrupted_evaluation_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("autoarm.evaluation.video.VIEW_SIZE", SMALL)
    settings = {"episodes": 5, "image_size": SMALL, "time_limit": 20, "seed": 4}
    whole = evaluate("expert", **settings)
    out = tmp_path / "result.json"

    def stop(now):
        if now.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate("expert", **settings, out=out, progress=stop)
    assert journal_path(out).is_file()
    seen = []
    resumed = evaluate("expert", **settings, out=out, progress=seen.append, videos=tmp_path / "videos")
    assert [now.done for now in seen] == [2, 3, 4, 5]
    assert Result.load(out).rows == resumed.rows
    # The rows of before the interruption are filmed too.
    assert all((tmp_path / row.video).is_file() for row in resumed.rows)
    assert [row.model_copy(update={"video": None}) for row in resumed.rows] == whole.rows
    assert not journal_path(out).exists()
    evaluate("expert", **settings, out=out, progress=seen.append)  # what is finished is measured anew
    assert seen[-1].done == 5


# -- Videos and the command line ---------------------------------------------------------------------------------------


def test_the_first_success_and_failure_of_each_group_are_filmed(tmp_path, monkeypatch):
    monkeypatch.setattr("autoarm.evaluation.video.VIEW_SIZE", SMALL)
    expert = load_policy("expert")

    class Sometimes(Scripted):
        def reset(self, seed, info):
            self._expert = not info["cube_pose"][1] > 0.1  # not at the two spots on the left
            expert.reset(seed, info)

        def act(self, observation, info):
            return expert.act(observation, info) if self._expert else still(4)

    spots = SceneDistribution(cube="spots", spots=("near-left", "centre"))
    result = evaluate(
        Sometimes(), distribution=spots, episodes=4, time_limit=200, videos=tmp_path / "videos", videos_from=tmp_path
    )
    assert [row.video for row in result.rows] == [
        "videos/near-left-failure.mp4",
        None,
        "videos/centre-success.mp4",
        None,
    ]
    assert len(list((tmp_path / "videos").iterdir())) == 2
    for row in result.rows[::2]:
        with av.open(str(tmp_path / row.video)) as container:
            assert sum(1 for _ in container.decode(video=0)) == row.steps + 1


def run(*arguments: object) -> int:
    return tyro.cli(Eval, args=[str(argument) for argument in arguments]).run()


def test_the_command_prints_a_table_and_writes_the_result(tmp_path, capsys):
    out = tmp_path / "results" / "expert.json"
    assert run("expert", "--episodes", 5, "--seed", 2, "--out", out) == 0
    result = Result.load(out)
    assert result.rows == evaluate("expert", episodes=5, seed=2).rows
    assert (result.setting.seed, result.setting.episodes) == (2, 5)
    printed = capsys.readouterr().out
    assert all(spot in printed for spot in spec.SPOTS)
    assert "5/5" in printed
    assert list(out.parent.iterdir()) == [out]


def test_the_command_takes_what_was_measured_of_a_real_arm(tmp_path):
    top = tmp_path / "top.yaml"
    top.write_text("position: [0.21, -0.01, 0.7]\ntarget: [0.2, 0.01, 0.0]\nfovy: 40.5\n")
    out = tmp_path / "expert.json"
    assert run("expert", "--episodes", 1, "--scene.top", top, "--out", out) == 0
    assert restore_scene(Result.load(out).rows[0].scene).top.fovy == 40.5
    top.write_text("position: [0.21, -0.01, 0.7]\n")
    with pytest.raises(InvalidFileError, match="target"):
        run("expert", "--episodes", 1, "--scene.top", top)


def test_the_table_counts_stages_cumulatively():
    result = evaluate("expert", distribution=EVERYWHERE_DISTRIBUTION, episodes=3)
    stages = ["reach", "lift", "place"]
    rows = [row.model_copy(update={"stage": stage}) for row, stage in zip(result.rows, stages, strict=True)]
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result_table(result.model_copy(update={"rows": rows})))
    (line,) = [line for line in console.export_text().splitlines() if EVERYWHERE in line]
    assert [cell.strip() for cell in line.strip("│ ").split("│")][4:] == ["2", "2", "1"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["exprt"], InvalidInputError),
        (["nearest"], InvalidInputError),
        (["expert", "--episodes", "0"], InvalidInputError),
        (["nearest", "--dataset", "{folder}/missing"], InvalidFileError),
        (["{folder}"], InvalidFileError),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, arguments, kind):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(kind) as caught:
        run(*(argument.format(folder=folder) for argument in arguments), "--out", tmp_path / "new" / "out.json")
    assert isinstance(caught.value, AutoArmError)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_place_that_cannot_be_written_is_found_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidFileError, match="not a folder"):
        # The policy does not exist either: the place is looked at first.
        run("exprt", "--out", tmp_path / "file" / "out.json")
