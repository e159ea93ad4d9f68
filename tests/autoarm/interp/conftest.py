"""Small ACT policies of many shapes, and observations for them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors
from torch import Tensor

from gym_autoarm import spec

CHUNK: Final = 5
CONFIGURATIONS: Final[dict[str, dict[str, Any]]] = {
    "two cameras": {"cameras": {"top": (64, 96), "lateral": (64, 96)}},
    "one camera, VAE": {"cameras": {"wrist": (100, 40)}, "use_vae": True, "n_heads": 2, "n_encoder_layers": 1},
    "three sizes, pre-norm, two decoder layers": {
        "cameras": {"a": (32, 64), "b": (64, 96), "c": (96, 32)},
        "pre_norm": True,
        "n_decoder_layers": 2,
        "state": 7,
        "action": 3,
    },
    "environment state": {"cameras": {"top": (64, 64)}, "environment": 4, "feedforward_activation": "gelu"},
    "no camera, two decoder layers": {"cameras": {}, "environment": 9, "n_decoder_layers": 2},
    "pre-norm, VAE": {"cameras": {"top": (33, 65)}, "pre_norm": True, "use_vae": True},
}


def make_act(
    *, cameras: dict[str, tuple[int, int]], state: int = 6, action: int = 6, environment: int = 0, **options: Any
) -> ACTPolicy:
    """A small ACT with random weights, norms and biases too, so that none of them can be forgotten unseen."""
    torch.manual_seed(0)
    features = {"observation.state": PolicyFeature(FeatureType.STATE, (state,))}
    if environment:
        features["observation.environment_state"] = PolicyFeature(FeatureType.ENV, (environment,))
    for name, size in cameras.items():
        features[f"observation.images.{name}"] = PolicyFeature(FeatureType.VISUAL, (3, *size))
    small = {"dim_model": 32, "dim_feedforward": 48, "n_heads": 4, "n_encoder_layers": 2, "use_vae": False}
    config = ACTConfig(
        device="cpu",
        input_features=features,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (action,))},
        pretrained_backbone_weights=None,
        n_vae_encoder_layers=1,
        **{"chunk_size": CHUNK, "n_action_steps": CHUNK, **small, **options},
    )
    policy = ACTPolicy(config).eval()
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if parameter.ndim == 1 and not name.startswith("backbone"):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return policy


@pytest.fixture(scope="session", params=CONFIGURATIONS)
def configuration(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of each test policy in turn."""
    return CONFIGURATIONS[request.param]


@pytest.fixture(scope="session")
def _untouched(configuration: dict[str, Any]) -> ACTPolicy:
    return make_act(**configuration)


@pytest.fixture
def act(_untouched: ACTPolicy) -> ACTPolicy:
    """A policy of each configuration in turn, its own copy for each test."""
    return copy.deepcopy(_untouched)


@pytest.fixture(scope="session")
def _one() -> ACTPolicy:
    return make_act(**CONFIGURATIONS["two cameras"])


@pytest.fixture
def two_cameras(_one: ACTPolicy) -> ACTPolicy:
    """A policy with one decoder layer, norms last, cameras `top` and `lateral` of 2x3 tokens each."""
    return copy.deepcopy(_one)


@pytest.fixture(scope="session")
def new_act() -> Callable[..., ACTPolicy]:
    """Make a policy of any configuration."""
    return make_act


@pytest.fixture(scope="session")
def observe() -> Callable[..., dict[str, Tensor]]:
    """Make a batch for a policy: `observe(policy, seed, size)`."""

    def make(policy: ACTPolicy, seed: int = 0, size: int = 2) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        features = policy.config.input_features
        return {key: torch.randn(size, *feature.shape, generator=generator) for key, feature in features.items()}

    return make


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ACT for this project's arm, saved as LeRobot does, for frames of 64x96."""
    folder = tmp_path_factory.mktemp("act") / "pretrained_model"
    policy = make_act(cameras=dict.fromkeys(spec.CAMERAS, (64, 96)))
    policy.save_pretrained(folder)
    image = {"mean": torch.rand(3, 1, 1), "std": 0.1 + torch.rand(3, 1, 1)}
    vector = {"mean": torch.randn(6), "std": 1 + torch.rand(6)}
    stats = {f"observation.images.{camera}": image for camera in spec.CAMERAS}
    for processor in make_pre_post_processors(
        policy.config, dataset_stats=stats | {"observation.state": vector, "action": vector}
    ):
        processor.save_pretrained(folder)
    return folder


def snapshot(policy: ACTPolicy) -> dict[str, Any]:
    """All that looking at a policy must leave alone."""
    if policy.config.temporal_ensemble_coeff is None:
        memory = list(policy._action_queue)
    else:
        memory = [policy.temporal_ensembler.ensembled_actions, policy.temporal_ensembler.ensembled_actions_count]
    return {
        "weights": {name: value.clone() for name, value in policy.state_dict().items()},
        "memory": [value if value is None else value.clone() for value in memory],
        "modes": [module.training for module in policy.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in policy.modules()],
        "names": [sorted(vars(module)) for module in policy.modules()],
        "random": torch.get_rng_state(),
    }


def same(one: Any, other: Any) -> bool:
    """Equality that looks into tensors, dictionaries and lists."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture
def unchanged() -> Callable[[ACTPolicy], Any]:
    """`with unchanged(policy): ...` fails if anything about the policy differs afterwards, bit for bit."""

    @contextmanager
    def check(policy: ACTPolicy) -> Iterator[None]:
        before = snapshot(policy)
        yield
        after = snapshot(policy)
        assert before.keys() == after.keys()
        for name in before:
            assert same(after[name], before[name]), f"{name} changed"

    return check
