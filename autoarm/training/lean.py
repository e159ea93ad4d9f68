"""Train ACT's transformer without the work that has no effect.

LeRobot's ACT has every attention layer return its weights averaged over heads, and drops them. And its decoder starts
from zeros, the same for every sample, so that all up to the first cross-attention's queries is the same for every
sample, too. Here the weights are not returned and that part is computed once, which saves a good part of a step on a
CPU.
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

    Parameters and their names stay as they are, so checkpoints can be written inside the block.

    Yields:
        Whether it does: policies other than ACT are left alone, and those with dropout, whose draws differ from sample
        to sample.
    """
    if policy.name != "act" or policy.config.dropout:
        yield False
        return
    parts = (policy.model.encoder, policy.model.decoder)
    attentions = [each for part in parts for each in part.modules() if isinstance(each, nn.MultiheadAttention)]
    for attention in attentions:
        _simplify(attention)
    _start_once(policy.model.decoder)
    try:
        yield True
    finally:
        for module in (*attentions, policy.model.decoder):
            del module.forward


def _start_once(decoder: nn.Module) -> None:
    usual = decoder.forward

    def decode(queries: Tensor, *others: Any, **named: Any) -> Tensor:
        found: Tensor = usual(queries[:, :1], *others, **named)  # the first cross-attention brings the samples back
        return found

    decoder.forward = decode


def _simplify(attention: nn.MultiheadAttention) -> None:
    def attend(
        query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attend over `(tokens, samples, width)`; queries may be of one sample that stands for all."""
        if key_padding_mask is not None:
            raise NotImplementedError("padded tokens")
        weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        heads = (attention.num_heads, attention.head_dim)
        q, k, v = (
            functional.linear(tokens, weight, bias).reshape(*tokens.shape[:2], *heads).permute(1, 2, 0, 3)
            for tokens, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        scores = torch.matmul(q * attention.head_dim**-0.5, k.transpose(-1, -2))
        found = torch.matmul(scores.softmax(dim=-1), v).permute(2, 0, 1, 3).flatten(-2)
        return attention.out_proj(found), None

    # On the instance, not on the class: other networks in the process keep theirs.
    attention.forward = attend  # type: ignore[method-assign, assignment]
