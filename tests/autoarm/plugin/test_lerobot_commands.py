"""LeRobot's own commands, as a user runs them, on our environment and our datasets."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.data.dataset import check_dataset, demonstrations, episode_frames, joint_columns
from autoarm.plugin import AutoArmEnv
from gym_autoarm import spec
from gym_autoarm.expert import Expert

pytestmark = pytest.mark.lengthy

HEIGHT, WIDTH = 96, 128
TINY_ACT: dict[str, Any] = {
    "chunk_size": 10,
    "n_action_steps": 10,
    "dim_model": 32,
    "n_heads": 2,
    "dim_feedforward": 32,
    "n_encoder_layers": 1,
    "n_vae_encoder_layers": 1,
    "pretrained_backbone_weights": None,
    "device": "cpu",
    "push_to_hub": False,
}


def run(folder: Path, command: str, *arguments: object) -> str:
    """Run one of LeRobot's commands in `folder`, offline; what it said."""
    script = Path(sysconfig.get_path("scripts")) / command
    environment = {**os.environ, "HF_HOME": str(folder / "huggingface"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(script), *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def policy(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of an untrained, very small ACT."""
    from lerobot.configs import FeatureType
    from lerobot.datasets import LeRobotDatasetMetadata
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.utils.feature_utils import dataset_to_policy_features

    folder = tmp_path_factory.mktemp("policy")
    meta = LeRobotDatasetMetadata("local/tiny", root=tiny_dataset)
    features = dataset_to_policy_features(meta.features)
    outputs = {name: feature for name, feature in features.items() if feature.type is FeatureType.ACTION}
    inputs = {name: feature for name, feature in features.items() if name not in outputs}
    config = ACTConfig(input_features=inputs, output_features=outputs, **TINY_ACT)
    parts = (ACTPolicy(config), *make_pre_post_processors(config, dataset_stats=meta.stats))
    for part in parts:
        part.save_pretrained(folder)
    return folder


# -- The environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_async_envs", ["true", "false"])
def test_eval(use_async_envs: str, policy: Path, tmp_path: Path) -> None:
    run(
        tmp_path,
        "lerobot-eval",
        f"--policy.path={policy}",
        "--env.type=autoarm",
        "--env.discover_packages_path=autoarm.plugin",
        f"--env.observation_height={HEIGHT}",
        f"--env.observation_width={WIDTH}",
        "--env.episode_length=25",
        "--env.spots=centre,near-left",
        "--eval.n_episodes=2",
        "--eval.batch_size=2",
        *(["--eval.use_async_envs=false"] if use_async_envs == "false" else []),  # asynchronous by default
        "--output_dir=out",
    )
    result = json.loads((tmp_path / "out/eval_info.json").read_text())
    assert result["overall"]["n_episodes"] == 2
    assert result["overall"]["pc_success"] == 0  # it was not trained
    videos = sorted((tmp_path / "out").rglob("*.mp4"))
    assert len(videos) == 2
    assert count_frames(videos[0]) == 25


def count_frames(video: Path) -> int:
    import av

    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("use_async_envs", [True, False])
def test_lerobot_sees_the_expert_succeed(use_async_envs: bool) -> None:
    """Through LeRobot's factory, with its vector environment and its way of reading success."""
    from lerobot.envs.factory import make_env

    config = AutoArmEnv(spots="centre", observation_height=48, observation_width=64)
    vector = make_env(config, n_envs=2, use_async_envs=use_async_envs)["autoarm"][0]
    try:
        observation, info = vector.reset(seed=[7, 8], options={"lerobot_new_rollout": True})
        assert vector.call("_max_episode_steps") == (spec.TIME_LIMIT,) * 2
        assert vector.call("task_description") == (spec.TASK,) * 2
        expert = Expert()
        plans = [expert.plan(info["cube_pose"][i], info["box_pose"][i], observation["agent_pos"][i]) for i in range(2)]
        success = np.zeros(2, bool)
        for step in range(max(map(len, plans))):
            actions = np.stack([plan[min(step, len(plan) - 1)] for plan in plans])
            observation, _, terminated, _, info = vector.step(actions)
            if terminated.any():
                success |= np.asarray(info["final_info"]["is_success"], bool)
            if success.all():
                break
        assert success.all()
        assert observation["pixels"]["top"].shape == (2, 48, 64, 3)
    finally:
        vector.close()


def test_features_of_environment_and_dataset_agree(tiny_dataset: Path) -> None:
    from lerobot.datasets import LeRobotDatasetMetadata
    from lerobot.envs.utils import env_to_policy_features
    from lerobot.utils.feature_utils import dataset_to_policy_features

    features = LeRobotDatasetMetadata("local/tiny", root=tiny_dataset).features
    environment = env_to_policy_features(AutoArmEnv(observation_height=HEIGHT, observation_width=WIDTH))
    assert environment == dataset_to_policy_features(features)


# -- The dataset -----------------------------------------------------------------------------------------------------


def test_train(tiny_dataset: Path, tmp_path: Path) -> None:
    options = {**TINY_ACT, "pretrained_backbone_weights": "null"}
    run(
        tmp_path,
        "lerobot-train",
        "--dataset.repo_id=local/tiny",
        f"--dataset.root={tiny_dataset}",
        "--policy.type=act",
        *(f"--policy.{name}={str(value).lower()}" for name, value in options.items()),
        "--steps=3",
        "--batch_size=2",
        "--num_workers=0",
        "--log_freq=1",
        "--env_eval_freq=0",
        "--wandb.enable=false",
        "--output_dir=out",
    )
    checkpoint = tmp_path / "out/checkpoints/last/pretrained_model"
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["input_features"]["observation.images.lateral"]["shape"] == [3, HEIGHT, WIDTH]
    assert (checkpoint / "model.safetensors").is_file()


def test_visualize(tiny_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="needs the extra `viz`")
    run(
        tmp_path,
        "lerobot-dataset-viz",
        "--repo-id=local/tiny",
        f"--root={tiny_dataset}",
        "--episode-index=1",
        "--save=1",
        f"--output-dir={tmp_path}",
        "--num-workers=0",
    )
    (recording,) = tmp_path.glob("*.rrd")
    assert recording.stat().st_size > 10_000


def test_delete_an_episode(tiny_dataset: Path, tmp_path: Path) -> None:
    run(
        tmp_path,
        "lerobot-edit-dataset",
        "--repo_id=local/tiny",
        f"--root={tiny_dataset}",
        "--new_repo_id=local/rest",
        f"--new_root={tmp_path / 'rest'}",
        "--operation.type=delete_episodes",
        "--operation.episode_indices=[0]",
    )
    assert check_dataset(tmp_path / "rest").episodes == 1
    states, actions, _ = joint_columns(tmp_path / "rest")
    kept = demonstrations(tiny_dataset)[1]
    assert np.array_equal(states, kept.states)
    assert np.array_equal(actions, kept.actions)
    # Encoded a second time by LeRobot, so near rather than equal.
    before, after = (
        episode_frames(folder, index, "top") for folder, index in ((tiny_dataset, 1), (tmp_path / "rest", 0))
    )
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after).mean() < 3
