"""LeRobot's policies for this robot, with fresh weights."""

from __future__ import annotations

from urllib.error import URLError

from lerobot.configs import FeatureType, PolicyFeature, PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_policy_config
from lerobot.policies.pretrained import PreTrainedPolicy

from autoarm.data.dataset import ACTION, IMAGES, STATE
from autoarm.training.config import TrainConfig
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.extras import missing_extra


def policy_config(config: TrainConfig, device: str) -> PreTrainedConfig:
    """LeRobot's configuration for this robot. Raises `InvalidInputError` for fields that the policy does not have."""
    frame = PolicyFeature(type=FeatureType.VISUAL, shape=(3, *spec.IMAGE_SIZE))
    joints = PolicyFeature(type=FeatureType.STATE, shape=(len(spec.JOINTS),))
    # The size that Diffusion Policy builds its pooling for; ACT takes any.
    fields = {"resize_shape": config.image_size} if config.architecture == "diffusion" else {}
    try:
        return make_policy_config(
            config.architecture,
            input_features={
                **{IMAGES[camera]: frame for camera in config.cameras},
                **({STATE: joints} if config.state else {}),
            },
            output_features={ACTION: PolicyFeature(type=FeatureType.ACTION, shape=joints.shape)},
            device=device,
            push_to_hub=False,
            **fields,
            **config.policy,
        )
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InvalidInputError(
            str(error), field="policy", cure=f"use fields of LeRobot's configuration of {config.architecture}"
        ) from error


def new_policy(config: PreTrainedConfig) -> PreTrainedPolicy:
    """A policy with fresh weights. Raises `InvalidInputError` for what is missing on this machine."""
    try:
        return get_policy_class(config.type)(config)
    except URLError as error:
        raise InvalidInputError(
            f"the backbone's weights cannot be downloaded: {error.reason}",
            field="pretrained_backbone_weights",
            cure="train from random weights with `--policy pretrained_backbone_weights null`",
        ) from error
    except ImportError as error:
        raise missing_extra(error.name or str(error), config.type, field="preset") from error
