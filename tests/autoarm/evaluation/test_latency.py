"""What an arm does while an answer is awaited."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autoarm.evaluation.bench import bench
from autoarm.evaluation.latency import LateAnswers
from autoarm.evaluation.recorded import open_recorded
from autoarm.evaluation.rollout import rollout
from autoarm.evaluation.verify import verify
from autoarm.policies.scripted import ExpertPolicy
from autoarm.results.result import Latency, Result
from autoarm.suite.episodes import Episode
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.scene import HOME, Scene

START = np.asarray(HOME)


class Counting:
    """Says with the gripper which answer and which action of it: 10 * answer + action, in tenths."""

    name = "counting"
    needs_images = False

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, seed, info):
        self.asked = []

    def act(self, observation, info):
        answer = np.tile(START, (self.length, 1))
        answer[:, 5] = 10 * len(self.asked) + np.arange(self.length) / 10
        self.asked.append(observation["agent_pos"].copy())
        return answer.astype(np.float32)


class Once(Counting):
    decides_once = True


def run(policy, latency, steps):
    """The gripper's goals through an episode of so many steps."""
    env = PickIntoBoxEnv(cameras=False, time_limit=steps)
    done = rollout(env, policy, Episode("latency", 0, 1, Scene(), latency=latency))
    assert done.row.latency == latency
    assert done.row.steps == len(done.actions) == steps
    return np.round(done.actions[:, 5], 3).tolist()


def numbers(answer, first, end):
    return [round(10 * answer + each / 10, 3) for each in range(first, end)]


@pytest.fixture
def waiting():
    """Where the gripper waits before the first answer."""
    env = PickIntoBoxEnv(cameras=False)
    return [round(float(env.reset(options={"scene": Scene()})[0]["agent_pos"][5]), 3)]


def test_a_long_answer_is_gone_on_with_until_the_next_one_begins(waiting):
    found = run(Counting(40), Latency(steps=3, chunk=25), 70)
    assert found == (
        3 * waiting + numbers(0, 0, 28) + numbers(1, 0, 28) + numbers(2, 0, 11)
    )  # 25 actions, and 3 more while the next answer is awaited


def test_where_nothing_is_left_the_last_goal_is_held(waiting):
    found = run(Counting(10), Latency(steps=3, chunk=25), 40)
    assert found == (
        3 * waiting
        + (numbers(0, 0, 10) + 3 * numbers(0, 9, 10))
        + (numbers(1, 0, 10) + 3 * numbers(1, 9, 10))
        + (numbers(2, 0, 10) + numbers(2, 9, 10))
    )


def test_what_is_left_may_not_last(waiting):
    found = run(Counting(27), Latency(steps=4, chunk=25), 34)
    assert found == 4 * waiting + numbers(0, 0, 27) + 2 * numbers(0, 26, 27) + numbers(1, 0, 1)


def test_without_latency_answers_are_cut_but_nothing_waits():
    assert run(Counting(40), Latency(steps=0, chunk=25), 60) == (
        numbers(0, 0, 25) + numbers(1, 0, 25) + numbers(2, 0, 10)
    )
    assert run(Counting(40), None, 60) == numbers(0, 0, 40) + numbers(1, 0, 20)


def test_a_policy_that_is_asked_at_every_step_waits_at_every_step(waiting):
    found = run(Counting(1), Latency(steps=2, chunk=25), 9)
    assert found == 2 * waiting + 3 * numbers(0, 0, 1) + 3 * numbers(1, 0, 1) + numbers(2, 0, 1)


def test_a_policy_that_decides_once_is_waited_for_and_never_cut(waiting):
    found = run(Once(40), Latency(steps=3, chunk=25), 50)
    assert found == 3 * waiting + numbers(0, 0, 40) + 3 * numbers(0, 39, 40) + numbers(1, 0, 4)


def test_the_policy_sees_what_is_there_when_it_is_asked():
    """It decides on where the arm is before the wait, which the arm has left when the answer begins."""
    policy = Counting(40)
    run(policy, Latency(steps=12, chunk=25), 60)
    env = PickIntoBoxEnv(cameras=False)
    env.reset(seed=1, options={"scene": Scene()})
    replayed = LateAnswers(Latency(steps=12, chunk=25), policy.asked[0], is_cut=True)
    answer = np.tile(START, (40, 1))
    for number, seen in enumerate(policy.asked[1:]):
        answer[:, 5] = np.float32(10 * number + np.arange(40) / 10)
        observation, *_ = env.step_chunk(replayed.take(answer.copy()))
        np.testing.assert_array_equal(seen, observation["agent_pos"])


def test_the_expert_loses_nothing_but_the_time_it_waits():
    env = PickIntoBoxEnv(cameras=False)
    at_once, late = (
        rollout(env, ExpertPolicy(), Episode("latency", 0, 5, Scene(), latency=latency))
        for latency in (None, Latency(steps=12, chunk=25))
    )
    assert at_once.row.success
    assert late.row.success
    assert abs(late.row.steps - at_once.row.steps - 12) <= 3


# -- In results --------------------------------------------------------------------------------------------------------


@pytest.fixture
def late_suite(data, write_suite):
    data["axes"]["still"]["levels"] = {"late": {"latency": {"steps": 3, "chunk": 25}}}
    return write_suite(data)


def test_rows_say_how_late_answers_came_and_are_verified(late_suite, tmp_path):
    out = tmp_path / "expert.json"
    bench("expert", late_suite, size="quick", out=out)
    rows = json.loads(out.read_text())["rows"]
    assert [row["latency"] for row in rows if row["group"] == "still"] == [{"steps": 3, "chunk": 25}]
    assert not any("latency" in row for row in rows if row["group"] != "still")
    assert verify(out, suite=late_suite).passed


def test_a_row_with_another_latency_than_its_level_is_refused(late_suite, tmp_path):
    out = tmp_path / "expert.json"
    result = bench("expert", late_suite, size="quick")
    rows = [row.model_copy(update={"latency": None}) for row in result.rows]
    result.model_copy(update={"rows": rows}).save(out)
    with pytest.raises(InvalidFileError, match="latency"):
        open_recorded(out, suite=late_suite)
    assert Result.load(out).rows == rows
