"""Evaluation over a Ray cluster of two nodes, both on this machine."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from autoarm.runtime.tasks import run_tasks
from autoarm.suite.episodes import plan_episodes
from gym_autoarm.errors import AutoArmError, InvalidFileError
from gym_autoarm.sampling import SceneDistribution

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROLLING = """
import os, signal
from dataclasses import dataclass
from pathlib import Path

import ray

from autoarm.policies.loading import load_policy
from autoarm.evaluation.rollout import rollout
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError


@dataclass
class Start:
    folder: Path
    trouble: str = ""

    def __call__(self):
        return Roll(self)


class Roll:
    def __init__(self, start):
        self.start = start
        self.env = PickIntoBoxEnv(cameras=False)
        self.policy = load_policy("expert")

    def __call__(self, episode):
        if ray.is_initialized():
            (self.start.folder / f"node-{ray.get_runtime_context().get_node_id()}").touch()
        marker = self.start.folder / f"marker-{episode.seed}"
        if (episode.group, episode.index) == ("near-right", 1) and self.start.trouble:
            if self.start.trouble == "raise":
                raise InvalidFileError("is broken", file="task")
            if self.start.trouble == "always" or not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return rollout(self.env, self.policy, episode).row

    def close(self):
        (self.start.folder / f"closed-{os.getpid()}").touch()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**{name: value for name, value in node.items() if name != "include_dashboard"})
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    code = tmp_path_factory.mktemp("code")
    (code / "rolling.py").write_text(ROLLING)
    sys.path.insert(0, str(code))
    module = importlib.import_module("rolling")
    # The cluster's processes know the installed packages, and not this file.
    ray.cloudpickle.register_pickle_by_value(module)
    yield module
    ray.cloudpickle.unregister_pickle_by_value(module)
    sys.path.remove(str(code))


@pytest.fixture(scope="module")
def episodes():
    return plan_episodes(SceneDistribution(cube="spots"), 10, 3)


@pytest.fixture(scope="module")
def expected(rolling, episodes, tmp_path_factory):
    return dict(run_tasks(episodes, rolling.Start(tmp_path_factory.mktemp("here"))))


def test_two_nodes_give_the_rows_of_one_process(cluster, rolling, episodes, expected, tmp_path):
    rows = dict(run_tasks(episodes, rolling.Start(tmp_path), workers=2, ray=cluster))
    assert rows == expected
    assert len(list(tmp_path.glob("node-*"))) == 2
    assert len(list(tmp_path.glob("closed-*"))) == 2
    assert not ray.is_initialized()


def test_a_killed_actor_loses_nothing(cluster, rolling, episodes, expected, tmp_path):
    retried = []
    rows = dict(
        run_tasks(
            episodes,
            rolling.Start(tmp_path, "once"),
            workers=2,
            ray=cluster,
            on_retry=lambda index, reason: retried.append(index),
        )
    )
    assert rows == expected
    assert retried == [1]


def test_more_workers_than_the_cluster_has_room_for_keep_no_task_waiting(
    cluster, rolling, episodes, expected, tmp_path
):
    assert dict(run_tasks(episodes, rolling.Start(tmp_path), workers=4, ray=cluster)) == expected


def test_errors_come_home_and_losses_are_counted(cluster, rolling, episodes, tmp_path):
    with pytest.raises(InvalidFileError, match="is broken"):
        list(run_tasks(episodes, rolling.Start(tmp_path, "raise"), workers=2, ray=cluster, on_retry=pytest.fail))
    with pytest.raises(AutoArmError, match=r"task 1: .* 2 times"):
        list(run_tasks(episodes[:3], rolling.Start(tmp_path, "always"), workers=1, ray=cluster, retries=1))


def test_auto_is_the_cluster_that_the_environment_names(cluster, rolling, episodes, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    rows = dict(run_tasks(episodes[:2], rolling.Start(tmp_path), workers=2, ray="auto"))
    assert rows == {index: expected[index] for index in range(2)}
    assert not ray.is_initialized()
