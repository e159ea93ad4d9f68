"""Train ACT's transformer without the work that has no effect.

LeRobot's ACT has every attention layer return its weights averaged over heads, and drops them. And its decoder starts
from zeros, the same for every sample, so that all up to the first cross-attention's queries is the same for every
sample, too, unless dropout changes it. Here the weights are not returned and that part is computed once, which saves a
good part of a step on a CPU. On a GPU a kernel that never writes the weights down attends (Dao et al. 2022,
arXiv:2205.14135).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def lean_transformer(policy: Any) -> Iterator[bool]:
    """Inside the block, a policy's transformer computes the same function and the same gradients with less work.

    Parameters and their names stay as they are, so checkpoints can be written inside the block. Dropout is drawn from
    the same distribution, but not with the same numbers.

    Yields:
        Whether it does: policies other than ACT are left alone.
    """
    if policy.name != "act":
        yield False
        return
    network = policy.model
    parts = [network.encoder, network.decoder, *([network.vae_encoder] if policy.config.use_vae else [])]
    changed: list[nn.Module] = [
        each for part in parts for each in part.modules() if isinstance(each, nn.MultiheadAttention)
    ]
    for attention in changed:
        _simplify(attention)
    if not policy.config.dropout:
        _start_once(network.decoder)
        changed.append(network.decoder)
    try:
        yield True
    finally:
        for module in changed:
            del module.forward


def _start_once(decoder: nn.Module) -> None:
    usual = decoder.forward

    def decode(queries: Tensor, *others: Any, **named: Any) -> Tensor:
        found: Tensor = usual(queries[:, :1], *others, **named)  # the first cross-attention brings the samples back
        return found

    decoder.forward = decode


def _simplify(attention: Any) -> None:
    heads = (attention.num_heads, attention.head_dim)

    def attend(
        query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attend over `(tokens, samples, width)`; queries may be of one sample that stands for all."""
        weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        q, k, v = (
            functional.linear(tokens, weight, bias).reshape(*tokens.shape[:2], *heads).permute(1, 2, 0, 3)
            for tokens, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        seen = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        found = _attended(q, k, v, seen, attention.dropout if attention.training else 0.0)
        return attention.out_proj(found.permute(2, 0, 1, 3).flatten(-2)), None

    # On the instance, not on the class: other networks in the process keep theirs.
    attention.forward = attend


def _attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, dropout: float) -> Tensor:
    """Values `(samples, heads, queries, width)` that queries attend to, of keys and values of as many samples."""
    if q.is_cuda:
        q = q.expand(len(k), -1, -1, -1)
        return functional.scaled_dot_product_attention(q, k, v, seen, dropout)
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))
    if seen is not None:
        scores = scores.masked_fill(~seen, -torch.inf)
    return torch.matmul(functional.dropout(scores.softmax(dim=-1), dropout), v)
