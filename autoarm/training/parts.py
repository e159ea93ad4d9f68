"""Named groups of ACT's parameters, for training some and leaving the rest as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.extras import missing_extra
from gym_autoarm.rng import stream

# A fine-tuned policy sees the latent's zero of inference, so the VAE's own encoder is no part of what learns.
_PATTERNS: Final = {
    "decoder-mlp": r"model\.decoder\.layers\.\d+\.(linear1|linear2|norm3)\.",
    "cross-attention": r"model\.decoder\.layers\.\d+\.(multihead_attn|norm2)\.",
    "decoder-self-attention": r"model\.decoder\.layers\.\d+\.(self_attn|norm1)\.",
    "head": r"model\.action_head\.",
    "transformer": r"model\.(?!backbone\.|vae_)",
    "all": r"model\.(?!vae_)",
}
_ENCODER_MLP: Final = re.compile(r"encoder-mlp-(\d+)")
RANDOM_SUBSET: Final = "random-subset"
"""As many single weights as the decoder's MLP has, drawn from everything but the backbone."""
LORA: Final = "lora"
"""Low-rank changes to the two matrices of the decoder's MLP (Hu et al. 2021, arXiv:2106.09685)."""
LORA_TARGETS: Final = r"decoder\.layers\.\d+\.linear[12]"

BEHIND_ATTENTION: Final = frozenset({"decoder-mlp", "head", LORA})
"""Parts that, in a decoder of one layer, only the rest of that layer and the head come after."""


def part_names(policy: Any) -> list[str]:
    """Names of all parts that this policy has."""
    encoders = [f"encoder-mlp-{number}" for number in range(policy.config.n_encoder_layers)]
    return [*_PATTERNS, *encoders, RANDOM_SUBSET, LORA]


def parameters_of(policy: Any, part: str) -> dict[str, nn.Parameter]:
    """Parameters by name. Raises `InvalidInputError` for a part that this policy does not have."""
    if part not in part_names(policy):
        raise InvalidInputError(f"no part {part!r}", field="part", cure=f"choose from {', '.join(part_names(policy))}")
    if match := _ENCODER_MLP.fullmatch(part):
        pattern = rf"model\.encoder\.layers\.{match[1]}\.(linear1|linear2|norm2)\."
    elif part == LORA:
        pattern = r"model\.(?!backbone\.).*\.lora_[AB]\."
    else:
        pattern = _PATTERNS["transformer" if part == RANDOM_SUBSET else part]
    return {name: value for name, value in policy.named_parameters() if re.match(pattern, name)}


def train_only(policy: Any, parts: Sequence[str], seed: int) -> list[nn.Parameter]:
    """Freeze all but some parts of a policy, and return the parameters that are left.

    Args:
        policy: LeRobot's ACT.
        parts: Names of parts.
        seed: Seed of the random subset.
    """
    chosen = {name: value for part in parts for name, value in parameters_of(policy, part).items()}
    for parameter in policy.parameters():
        parameter.requires_grad_(False)
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    if RANDOM_SUBSET in parts:
        if len(parts) > 1:
            raise InvalidInputError("a random subset stands alone", field="part", cure="name no other part")
        count = sum(value.numel() for value in parameters_of(policy, "decoder-mlp").values())
        _keep_random(chosen, count, seed)
    return list(chosen.values())


def _keep_random(parameters: dict[str, nn.Parameter], count: int, seed: int) -> None:
    """Let gradients through to `count` single weights alone."""
    sizes = [value.numel() for value in parameters.values()]
    mask = torch.zeros(sum(sizes))
    chosen = stream(seed, "random subset").choice(sum(sizes), min(count, sum(sizes)), replace=False)
    mask[torch.from_numpy(chosen)] = 1.0
    for parameter, part in zip(parameters.values(), torch.split(mask, sizes), strict=True):
        kept = part.reshape(parameter.shape).to(parameter.device)
        parameter.register_hook(_times(kept))  # type: ignore[no-untyped-call]


def _times(mask: Tensor) -> Any:
    return lambda gradient: gradient * mask


def add_lora(policy: Any, rank: int, seed: int) -> None:
    """Put low-rank adapters beside the matrices of the decoder's MLP; see `merge_lora`.

    Raises:
        MissingDependencyError: If peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise missing_extra("peft", "study", field="part") from error
    torch.manual_seed(seed)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LORA_TARGETS), policy.model)


def merge_lora(policy: Any) -> None:
    """Add the adapters to the matrices that they stand beside: the policy has LeRobot's own layers again."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(policy.model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(policy.model.get_submodule(parent), child, module.get_base_layer())
