from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.utils import preprocess_observation
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors
from lerobot.processor import ImageCropResizeProcessorStep, RenameObservationsProcessorStep

from autoarm.evaluation.evaluate import evaluate
from autoarm.policies.lerobot import ENVIRONMENT_STATE, LeRobotPolicy
from autoarm.policies.loading import load_policy
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, IncompatiblePolicyError, InvalidFileError, InvalidInputError

IMAGE_SIZE = (64, 96)
TOP, LATERAL = "observation.images.top", "observation.images.lateral"


def save_act(folder: Path, *, cameras=(TOP, LATERAL), state=6, environment=None, action=6, steps=(), **options) -> Path:
    """A small ACT with random weights and random statistics, saved by LeRobot itself."""
    torch.manual_seed(0)
    images = {key: PolicyFeature(FeatureType.VISUAL, (3, *IMAGE_SIZE)) for key in cameras}
    given = {"observation.state": (FeatureType.STATE, state), ENVIRONMENT_STATE: (FeatureType.ENV, environment)}
    numbers = {key: PolicyFeature(kind, (size,)) for key, (kind, size) in given.items() if size is not None}
    config = ACTConfig(
        device="cpu",
        pretrained_backbone_weights=None,
        input_features=numbers | images,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (action,))},
        **({"chunk_size": 8, "n_action_steps": 5} | options),
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        use_vae=False,
    )
    stats = {key: {"mean": torch.rand(3, 1, 1), "std": 0.1 + torch.rand(3, 1, 1)} for key in cameras}
    for key, feature in numbers.items():
        stats[key] = {"mean": 20 * torch.randn(feature.shape), "std": 1 + 20 * torch.rand(feature.shape)}
    stats["action"] = {"mean": 20 * torch.randn(action), "std": 1 + 20 * torch.rand(action)}
    before, after = make_pre_post_processors(config, dataset_stats=stats)
    before.steps = [*steps, *before.steps]
    ACTPolicy(config).save_pretrained(folder)
    before.save_pretrained(folder)
    after.save_pretrained(folder)
    # As trained with weights from a download, which loading must not repeat.
    edit(folder / "config.json", lambda c: c.update(pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1"))
    return folder


def edit(file: Path, change) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_act(tmp_path_factory.mktemp("act") / "pretrained_model")


@pytest.fixture
def copied(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "policy"))


def observe(seed: int, size=IMAGE_SIZE):
    rng = np.random.default_rng(seed)
    pixels = {camera: rng.integers(0, 256, (*size, 3), np.uint8) for camera in spec.CAMERAS}
    return {"pixels": pixels, "agent_pos": rng.uniform(spec.ACTION_LOW, spec.ACTION_HIGH).astype(np.float32)}


class LeRobotLoop:
    """What LeRobot's own rollout does with a checkpoint: one action an observation."""

    def __init__(self, folder: Path) -> None:
        config = ACTConfig.from_pretrained(folder)
        config.pretrained_backbone_weights = None
        self.policy = ACTPolicy.from_pretrained(folder, config=config)
        self.before, self.after = make_pre_post_processors(config, pretrained_path=str(folder))
        self.policy.reset()

    def __call__(self, observation) -> np.ndarray:
        with torch.inference_mode():
            batch = self.before(preprocess_observation(observation))
            return self.after(self.policy.select_action(batch)).numpy()[0]


def test_a_chunk_is_what_lerobot_hands_out_one_by_one(saved):
    policy, loop = LeRobotPolicy(saved, image_size=IMAGE_SIZE), LeRobotLoop(saved)
    policy.reset(0, {})
    for seed in range(2):
        # LeRobot looks at the first observation of each five; what the others show must not matter.
        expected = [loop(observe(seed if step == 0 else 100 + step)) for step in range(5)]
        actions = policy.act(observe(seed), {})
        assert actions.dtype == np.float32
        np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-5)
    assert np.ptp(actions, axis=0).min() > 0.01  # the five differ, so that their order was tested too


def test_temporal_ensembling_is_honoured(tmp_path):
    folder = save_act(tmp_path / "policy", n_action_steps=1, temporal_ensemble_coeff=0.01)
    policy, loop = LeRobotPolicy(folder, image_size=IMAGE_SIZE), LeRobotLoop(folder)
    policy.reset(0, {})
    actions = [policy.act(observe(seed), {}) for seed in range(4)]
    np.testing.assert_allclose(np.concatenate(actions), [loop(observe(seed)) for seed in range(4)], rtol=0, atol=1e-5)
    alone = LeRobotPolicy(folder, image_size=IMAGE_SIZE)
    alone.reset(0, {})
    assert np.abs(alone.act(observe(3), {}) - actions[3]).max() > 1e-3


def test_reset_forgets(saved):
    policy = LeRobotPolicy(saved, image_size=IMAGE_SIZE)
    policy.reset(0, {})
    first = policy.act(observe(0), {})
    policy.act(observe(1), {})
    policy.reset(0, {})
    np.testing.assert_array_equal(policy.act(observe(0), {}), first)


def test_a_resizing_step_lets_a_policy_see_frames_of_any_size(tmp_path):
    folder = save_act(tmp_path / "policy", steps=[ImageCropResizeProcessorStep(resize_size=IMAGE_SIZE)])
    policy = LeRobotPolicy(folder, image_size=(96, 128))
    policy.reset(0, {})
    assert policy.act(observe(0, (96, 128)), {}).shape == (5, 6)


def test_a_renaming_step_maps_cameras(tmp_path):
    renamed = {TOP: "observation.images.front", LATERAL: "observation.images.side"}
    folder = save_act(
        tmp_path / "policy",
        cameras=tuple(renamed.values()),
        steps=[RenameObservationsProcessorStep(rename_map=renamed)],
    )
    policy, loop = LeRobotPolicy(folder, image_size=IMAGE_SIZE), LeRobotLoop(folder)
    policy.reset(0, {})
    np.testing.assert_allclose(policy.act(observe(0), {})[0], loop(observe(0)), rtol=0, atol=1e-5)


def test_a_run_is_found_by_its_folder_and_recorded(saved, tmp_path):
    run = tmp_path / "my-run"
    shutil.copytree(saved, run / "checkpoints" / "000100" / "pretrained_model")
    (run / "checkpoints" / "last").symlink_to("000100")
    policy = load_policy(str(run), image_size=IMAGE_SIZE)
    assert isinstance(policy, LeRobotPolicy)
    record = policy.describe()
    digest = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert (record.name, record.kind, record.path, record.sha256) == ("my-run", "lerobot", str(run), digest)
    assert record.config["chunk_size"] == 8
    assert load_policy(str(run / "checkpoints" / "000100"), image_size=IMAGE_SIZE).name == "my-run"


@pytest.mark.parametrize(
    ("options", "heeds"),
    [
        ({"cameras": (TOP,)}, {"top", "agent_pos"}),
        ({"state": None}, {"top", "lateral"}),
        ({"cameras": (LATERAL,), "state": None}, {"lateral"}),
        ({"cameras": (), "environment": 14}, {"agent_pos", "cube_pose"}),
        ({"environment": 14}, {"top", "lateral", "agent_pos", "cube_pose"}),
    ],
)
def test_a_policy_may_take_a_part_of_what_there_is(tmp_path, options, heeds):
    policy = LeRobotPolicy(save_act(tmp_path / "policy", **options), image_size=IMAGE_SIZE)
    assert policy.needs_images == bool(heeds & {"top", "lateral"})
    info = {"cube_pose": np.full(7, 0.2), "box_pose": np.full(7, -0.2)}

    def act(changed: str = "") -> np.ndarray:
        observation, other = observe(0), observe(1)
        pixels = {name: (other if name == changed else observation)["pixels"][name] for name in spec.CAMERAS}
        joints = (other if changed == "agent_pos" else observation)["agent_pos"]
        seen = {"agent_pos": joints} | ({"pixels": pixels} if policy.needs_images else {})
        policy.reset(0, {})
        return policy.act(seen, info | ({"cube_pose": np.full(7, 30.0)} if changed == "cube_pose" else {}))

    before = act()
    assert before.shape == (5, 6)
    for name in ("top", "lateral", "agent_pos", "cube_pose"):
        assert np.array_equal(act(name), before) == (name not in heeds)


# -- Checkpoints that must not run -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"action": 7}, "output_features.action"),
        ({"state": 14}, "input_features.observation.state"),
        ({"environment": 3}, "input_features.observation.environment_state"),
        ({"cameras": (TOP, LATERAL, "observation.images.wrist")}, "input_features.observation.images.wrist"),
    ],
)
def test_a_policy_of_another_robot_is_refused(tmp_path, options, field):
    folder = save_act(tmp_path / "policy", **options)
    with pytest.raises(IncompatiblePolicyError) as caught:
        LeRobotPolicy(folder, image_size=IMAGE_SIZE)
    assert (caught.value.file, caught.value.field) == (str(folder / "config.json"), field)
    assert caught.value.cure


def test_frames_of_another_size_are_refused_where_nothing_resizes_them(saved):
    with pytest.raises(IncompatiblePolicyError, match="--image-size 64 96"):
        LeRobotPolicy(saved)


def remove(name):
    return lambda folder: (folder / name).unlink()


def truncate(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def change_step(file, kind, change):
    """Change a step of a processor."""

    def damage(folder):
        edit(
            folder / file,
            lambda data: [change(step) for step in data["steps"] if step["registry_name"] == kind],
        )

    return damage


def without_step(file, kind):
    return lambda folder: edit(
        folder / file,
        lambda data: data.update(steps=[step for step in data["steps"] if step["registry_name"] != kind]),
    )


BEFORE, AFTER = "policy_preprocessor.json", "policy_postprocessor.json"
NORMALISER, UNNORMALISER = "normalizer_processor", "unnormalizer_processor"


def pickle_instead(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def run_code(folder):
    def change(data):
        data["steps"].insert(0, {"class": "subprocess.Popen", "config": {"args": ["touch", str(folder / "ran")]}})

    edit(folder / "policy_preprocessor.json", change)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove("config.json"), "config.json"),
        (remove("model.safetensors"), "model.safetensors is missing"),
        (remove("policy_preprocessor.json"), "policy_preprocessor.json is missing"),
        (truncate("model.safetensors"), "model.safetensors"),
        (truncate("policy_postprocessor.json"), "policy_postprocessor.json"),
        (pickle_instead, "pytorch_model.bin is a pickle"),
        (run_code, "policy_preprocessor.json: steps.0.registry_name"),
        (lambda folder: edit(folder / "config.json", lambda data: data.update(type="palette")), "config.json"),
        (lambda folder: edit(folder / "config.json", lambda data: data.pop("type")), "config.json"),
        (lambda folder: edit(folder / "config.json", lambda data: data.update(dim_model=64)), "model.safetensors"),
        (
            lambda folder: edit(folder / "config.json", lambda data: data.update(n_decoder_layers=2)),
            "model.safetensors",
        ),
        # Actions would come out, and mean something else.
        (change_step(AFTER, UNNORMALISER, lambda step: step.pop("state_file")), f"{AFTER}: steps: does not normalise"),
        (change_step(BEFORE, NORMALISER, lambda step: step.pop("state_file")), f"{BEFORE}: steps: does not normalise"),
        (without_step(AFTER, UNNORMALISER), f"{AFTER}: steps: does not normalise action"),
        (without_step(BEFORE, NORMALISER), f"{BEFORE}: steps: does not normalise"),
        (change_step(BEFORE, NORMALISER, lambda step: step["config"]["features"].pop(LATERAL)), LATERAL),
        (change_step(BEFORE, NORMALISER, lambda step: step["config"]["norm_map"].update(STATE="MIN_MAX")), "state"),
        (change_step(BEFORE, NORMALISER, lambda step: step["config"].update(eps=-(10**30))), BEFORE),
        (change_step(BEFORE, NORMALISER, lambda step: step.update(config=-1)), f"{BEFORE}: steps"),
        (
            change_step(BEFORE, "rename_observations_processor", lambda step: step["config"].update(rename_map=-1)),
            "rename_map",
        ),
    ],
)
def test_a_damaged_checkpoint_says_which_file(copied, damage, said):
    damage(copied)
    with pytest.raises(InvalidFileError) as caught:
        LeRobotPolicy(copied, image_size=IMAGE_SIZE)
    assert said in str(caught.value)
    assert not (copied / "ran").exists()


def test_reading_leaves_no_temporary_files(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    LeRobotPolicy(saved, image_size=IMAGE_SIZE)
    assert not list(tmp_path.iterdir())
    assert tempfile.gettempdir() == str(tmp_path)


def test_a_file_is_no_checkpoint(tmp_path):
    (tmp_path / "policy.pt").write_bytes(b"")
    with pytest.raises(InvalidFileError, match="not a folder"):
        load_policy(str(tmp_path / "policy.pt"))


def test_an_unusable_device_is_refused(saved):
    with pytest.raises(InvalidInputError, match="device") as caught:
        LeRobotPolicy(saved, device="abacus", image_size=IMAGE_SIZE)
    assert isinstance(caught.value, AutoArmError)


def test_a_checkpoint_is_evaluated_and_torch_keeps_its_threads(saved):
    threads = torch.get_num_threads()
    result = evaluate(str(saved), episodes=1, image_size=IMAGE_SIZE, time_limit=10)
    assert torch.get_num_threads() == threads
    again = evaluate(LeRobotPolicy(saved, image_size=IMAGE_SIZE), episodes=1, image_size=IMAGE_SIZE, time_limit=10)
    assert again.rows == result.rows
    assert (result.rows[0].steps, result.rows[0].error) == (10, None)
    assert result.policy.sha256 == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert result.platform.gl_renderer
