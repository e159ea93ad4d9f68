"""Any LeRobot policy, from its checkpoint folder, behind the `Policy` protocol."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.envs.utils import preprocess_observation
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.processor import ProcessorStepRegistry
from lerobot.utils.constants import OBS_STATE
from numpy.typing import NDArray

from autoarm.data.dataset import ACTION, IMAGES, STATE
from autoarm.policies.processors import (
    POSTPROCESSOR,
    PREPROCESSOR,
    check_actions_made,
    check_batch,
    check_normalisation,
)
from autoarm.policies.track import track_of_training
from autoarm.policies.trained_on import read_trained_on
from autoarm.results.result import PolicyRecord
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError, InvalidInputError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
TRAINING: Final = "train_config.json"

ENVIRONMENT_STATE: Final = "observation.environment_state"
_ENVIRONMENT_SHAPE: Final = (14,)

_LAYOUTS: Final = ("", "pretrained_model", "checkpoints/last/pretrained_model")
"""Where the checkpoint lies in a folder that a person may name: itself, our training run, LeRobot's."""
_CURE: Final = "give a checkpoint folder as LeRobot's `save_pretrained` writes it"


class LeRobotPolicy:
    """A trained policy that takes some or all of what this arm gives.

    One with a feature `observation.environment_state` is privileged: it gets `environment_state`, in simulation only.

    `act` returns the whole chunk that LeRobot's `select_action` would hand out one action at a time; a policy that
    ensembles over time, or wants every observation, is asked at every step.

    Attributes:
        policy: LeRobot's policy object, in evaluation mode.
        needs_images: Whether it takes any camera.

    Args:
        folder: The checkpoint, or a training run that holds one.
        device: Torch device, such as `cpu` or `cuda`.
        image_size: Height and width of the frames it will be shown.
        reference: How the user named it, for the record; the folder by default.

    Raises:
        InvalidFileError: If the folder is no checkpoint, damaged, or would run code.
        IncompatiblePolicyError: If the policy was made for another robot.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
        reference: str | None = None,
    ) -> None:
        self._reference = str(folder) if reference is None else reference
        self._folder = checkpoint_folder(folder)
        self.name = run_name(self._folder)
        processors = {name: _read_json(self._folder / name) for name in (PREPROCESSOR, POSTPROCESSOR)}
        for name, processor in processors.items():
            check_steps(processor, self._folder / name)
        config = _read_config(self._folder)
        check_features(config, processors[PREPROCESSOR], image_size, self._folder)
        config.device = _check_device(device)
        if hasattr(config, "pretrained_backbone_weights"):
            # They would be downloaded, and then overwritten by the checkpoint's.
            config.pretrained_backbone_weights = None
        overrides = {"device_processor": {"device": device}}
        declared = {step["registry_name"] for step in processors[PREPROCESSOR]["steps"]}
        with _reporting(self._folder / WEIGHTS), contextlib.redirect_stdout(io.StringIO()):
            self.policy = get_policy_class(config.type).from_pretrained(self._folder, config=config, strict=True)
        with _reporting(self._folder / PREPROCESSOR):
            self._preprocess, self._postprocess = make_pre_post_processors(
                config,
                pretrained_path=str(self._folder),
                preprocessor_overrides={step: value for step, value in overrides.items() if step in declared},
            )
        self._config = config
        self._try_processors(image_size)
        self.needs_images = bool(config.image_features)
        self.needs_poses = config.env_state_feature is not None
        self.policy.reset()
        self._chunk = chunk_length(self.policy)

    @property
    def processors(self) -> tuple[Any, Any]:
        """LeRobot's own pipelines before and after the policy."""
        return self._preprocess, self._postprocess

    @property
    def joint_range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Least and greatest joint positions `(6,)` it was trained on, if its normaliser says so."""
        for step in self._preprocess.steps:
            found = (getattr(step, "stats", None) or {}).get(OBS_STATE, {})
            if {"min", "max"} <= found.keys():
                low, high = (np.asarray(found[name], np.float64).reshape(-1) for name in ("min", "max"))
                return low, high
        return None

    def describe(self) -> PolicyRecord:
        """The checkpoint: hash of its weights, its configuration, and what it says it was trained on."""
        config = _read_json(self._folder / CONFIG)
        config.pop("pretrained_path", None)  # a path of the machine that trained it
        if (self._folder / TRAINING).is_file():
            training = _read_json(self._folder / TRAINING)
            config["training_dataset"] = (training.get("dataset") or {}).get("repo_id")
        digest = hashlib.sha256((self._folder / WEIGHTS).read_bytes()).hexdigest()
        trained_on = read_trained_on(self._folder)
        return PolicyRecord(
            name=self.name,
            kind="lerobot",
            track=None if trained_on is None else track_of_training(trained_on),
            path=self._reference,
            sha256=digest,
            config=config,
        )

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        torch.manual_seed(seed)  # policies that sample, such as diffusion, draw from torch's own generator
        self.policy.reset()
        self._preprocess.reset()
        self._postprocess.reset()

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        precision = torch.autocast(self._config.device) if self._config.use_amp else contextlib.nullcontext()
        with torch.inference_mode(), precision:
            if self._config.env_state_feature is not None:
                observation = {**observation, "environment_state": environment_state(info)}
            batch = self.batch(observation)
            if self._chunk == 1 or queues_observations(self.policy):
                # Asked again with the same observation, it hands out the next action of its chunk.
                actions = torch.cat([self.policy.select_action(dict(batch)) for _ in range(self._chunk)])  # (n, 6)
            else:
                actions = self.policy.predict_action_chunk(batch)[0, : self._chunk]  # (n, 6)
            # A chunk goes through as a batch of actions, so that each is un-normalised like a single one.
            actions = self._postprocess(actions)
        return np.asarray(actions.float().cpu().numpy(), np.float32)

    def batch(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """What `policy` is given for an observation: a batch of one, normalised, on its device."""
        # The same steps as LeRobot's rollout: to float CHW in 0..1, the task's words, then the policy's own processor.
        given = {key: observation[key] for key in ("pixels", "agent_pos", "environment_state") if key in observation}
        raw = preprocess_observation(given)
        batch: dict[str, Any] = self._preprocess(raw | {"task": [spec.TASK]})
        return batch

    def _try_processors(self, image_size: tuple[int, int]) -> None:
        """Before an episode, rather than in it, they turn out to be damaged."""
        check_normalisation(self._config, self._preprocess, self._postprocess, self._folder)
        frame = np.zeros((*image_size, 3), np.uint8)
        observation = {
            "pixels": dict.fromkeys(spec.CAMERAS, frame),
            "agent_pos": np.zeros(len(spec.JOINTS), np.float32),
            "environment_state": np.zeros(_ENVIRONMENT_SHAPE, np.float32),
        }
        if self._config.env_state_feature is None:
            del observation["environment_state"]
        with _reporting(self._folder / PREPROCESSOR), torch.inference_mode():
            check_batch(self.batch(observation), self._config, self._folder)
        with _reporting(self._folder / POSTPROCESSOR), torch.inference_mode():
            check_actions_made(self._postprocess, self._folder)
        self._preprocess.reset()
        self._postprocess.reset()


def resized_to(preprocessor: Any) -> tuple[int, int] | None:
    """Height and width that a LeRobot preprocessor resizes frames to; None if it leaves them as they are."""
    for step in preprocessor.steps:
        if size := getattr(step, "resize_size", None):
            return int(size[0]), int(size[1])
    return None


def chunk_length(policy: Any) -> int:
    """How many actions a LeRobot policy decides on at once without looking in between."""
    config = policy.config
    steps = int(getattr(config, "n_action_steps", 1))
    ensembles = getattr(config, "temporal_ensemble_coeff", None) is not None
    remembers = getattr(config, "n_obs_steps", 1) > 1  # and must be shown every observation
    return 1 if ensembles or remembers else steps


def queues_observations(policy: Any) -> bool:
    """Whether a LeRobot policy decides from a queue that `select_action` fills, such as Diffusion Policy."""
    return bool(set(getattr(policy, "_queues", None) or {}) - {ACTION})


def checkpoint_folder(folder: Path) -> Path:
    """The folder with `config.json` and `model.safetensors`, in or under `folder`.

    Raises:
        InvalidFileError: If there is none.
    """
    if not folder.is_dir():
        raise InvalidFileError("not a folder", file=folder, cure=_CURE)
    for layout in _LAYOUTS:
        found = folder / layout
        if (found / CONFIG).is_file():
            break
    else:
        raise InvalidFileError(f"no {CONFIG} in this folder", file=folder, cure=_CURE)
    for name in (WEIGHTS, PREPROCESSOR, POSTPROCESSOR):
        if not (found / name).is_file():
            pickled = sorted(path.name for path in found.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
            hint = f"; {', '.join(pickled)} is a pickle, which can run code and is not read" if pickled else ""
            raise InvalidFileError(f"{name} is missing{hint}", file=found, field=name, cure=_CURE)
    return found


def run_name(folder: Path) -> str:
    """What to call a checkpoint: the name of its run, rather than `pretrained_model` or a step number."""
    for part in (folder.resolve(), *folder.resolve().parents):
        if part.name not in ("pretrained_model", "checkpoints", "last") and not part.name.isdigit():
            return part.name or "checkpoint"
    return "checkpoint"


def check_steps(processor: dict[str, Any], file: Path) -> None:
    """Raise `InvalidFileError` unless every step of a processor is one that LeRobot has registered.

    LeRobot would import and call whatever a step without a registered name points at, so a downloaded checkpoint could
    run any code.
    """
    steps = processor.get("steps")
    if not isinstance(steps, list):
        raise InvalidFileError("not a list of steps", file=file, field="steps", cure=_CURE)
    known = ProcessorStepRegistry.list()
    for number, step in enumerate(steps):
        name = step.get("registry_name") if isinstance(step, dict) else None
        if name not in known:
            raise InvalidFileError(
                f"{name!r} is not a step that LeRobot has registered",
                file=file,
                field=f"steps.{number}.registry_name",
                cure="register the step with ProcessorStepRegistry and import its module first",
            )
        if not isinstance(step.get("config", {}), dict):
            raise InvalidFileError("is no mapping", file=file, field=f"steps.{number}.config", cure=_CURE)
        renaming = step.get("config", {}).get("rename_map", {})
        if not (isinstance(renaming, dict) and all(isinstance(new, str) for new in renaming.values())):
            raise InvalidFileError(
                "maps no names to names", file=file, field=f"steps.{number}.config.rename_map", cure=_CURE
            )


def environment_state(info: Mapping[str, Any]) -> NDArray[np.float32]:
    """The true poses of cube and box `(14,)`, position and quaternion each, which only simulation knows."""
    return np.asarray(np.concatenate([info["cube_pose"], info["box_pose"]]), np.float32)


def check_features(
    config: PreTrainedConfig, preprocessor: dict[str, Any], image_size: tuple[int, int], folder: Path
) -> None:
    """Raise `IncompatiblePolicyError` unless a policy takes only what this robot gives and gives what it takes."""
    file = folder / CONFIG
    joints = (len(spec.JOINTS),)
    state, environment, *cameras = renamed_features([STATE, ENVIRONMENT_STATE, *IMAGES.values()], preprocessor)
    inputs = {key: tuple(feature.shape) for key, feature in (config.input_features or {}).items()}
    outputs = {key: tuple(feature.shape) for key, feature in (config.output_features or {}).items()}

    for key in sorted(inputs.keys() - {state, environment, *cameras}):
        raise IncompatiblePolicyError(
            "this robot does not give it",
            file=file,
            field=f"input_features.{key}",
            cure=f"it gives {', '.join([STATE, *IMAGES.values()])}; a rename step can map other names to these",
        )
    if not inputs:
        raise IncompatiblePolicyError(
            "it takes nothing", file=file, field="input_features", cure="train on the state or a camera"
        )
    for where, key, shape, wanted in (
        ("input_features", state, inputs.get(state, joints), joints),
        ("input_features", environment, inputs.get(environment, _ENVIRONMENT_SHAPE), _ENVIRONMENT_SHAPE),
        ("output_features", ACTION, outputs.get(ACTION), joints),
    ):
        if shape != wanted:
            raise IncompatiblePolicyError(
                f"shape {shape}, this robot has {wanted}",
                file=file,
                field=f"{where}.{key}",
                cure="use a policy for the SO-101",
            )
    resizes = any((step.get("config") or {}).get("resize_size") for step in preprocessor["steps"])
    for key in sorted(inputs.keys() & set(cameras)):
        if not resizes and inputs[key] != (3, *image_size):
            height, width = inputs[key][-2:]
            raise IncompatiblePolicyError(
                f"trained on frames of {height}x{width}, shown {image_size[0]}x{image_size[1]}",
                file=file,
                field=f"input_features.{key}",
                cure=f"evaluate with --image-size {height} {width}, or train with a resizing step in the preprocessor",
            )


def renamed_features(names: list[str], preprocessor: dict[str, Any]) -> list[str]:
    """What the policy calls the features `names`, after the renaming steps of its preprocessor."""
    for step in preprocessor["steps"]:
        if step["registry_name"] == "rename_observations_processor":
            renaming = (step.get("config") or {}).get("rename_map") or {}
            names = [renaming.get(name, name) for name in names]
    return names


def _read_config(folder: Path) -> PreTrainedConfig:
    with _reporting(folder / CONFIG), _nothing_left_behind():
        config: PreTrainedConfig = PreTrainedConfig.from_pretrained(folder)
    if config.use_peft:
        raise InvalidFileError(
            "an adapter, not a policy", file=folder / CONFIG, field="use_peft", cure="merge it first"
        )
    return config


@contextlib.contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """LeRobot copies every configuration that it reads to a temporary file, and never removes it."""
    usual = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = usual


def _check_device(device: str) -> str:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"torch cannot use {device!r}", field="device", cure="try cpu") from error
    return device


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidFileError(f"not JSON: {error}", file=path, cure=_CURE) from error
    if not isinstance(data, dict):
        raise InvalidFileError("not a JSON object", file=path, cure=_CURE)
    return data


@contextlib.contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """LeRobot, draccus and safetensors raise what they like about a damaged file; say which file it was."""
    try:
        yield
    except InvalidFileError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidFileError(f"LeRobot cannot load it: {reason}", file=path, cure=_CURE) from error
