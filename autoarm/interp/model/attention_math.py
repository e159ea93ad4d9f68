"""Attention of each head, computed from a module's projections: LeRobot's own call keeps only the mean over heads."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def head_weights(attention: nn.MultiheadAttention, query: Tensor, key: Tensor) -> Tensor:
    """The attention of each head, from the projections: LeRobot's own call keeps only their mean.

    Args:
        attention: A module without masks, in evaluation mode, with queries and keys of equal width, as in ACT.
        query: `(slots, batch, width)`.
        key: `(tokens, batch, width)`.

    Returns:
        `(batch, heads, slots, tokens)`.
    """
    weight_q, weight_k, _ = attention.in_proj_weight.chunk(3)
    bias_q, bias_k, _ = attention.in_proj_bias.chunk(3)
    q = _split_heads(query, weight_q, bias_q, attention.num_heads)
    k = _split_heads(key, weight_k, bias_k, attention.num_heads)
    weights: Tensor = (q @ k.transpose(-1, -2) / attention.head_dim**0.5).softmax(dim=-1)
    return weights


def project_values(attention: nn.MultiheadAttention, value: Tensor) -> Tensor:
    """The values of each head at each token: `(tokens, batch, width)` to `(batch, heads, tokens, width / heads)`."""
    weight, bias = attention.in_proj_weight.chunk(3)[2], attention.in_proj_bias.chunk(3)[2]
    return _split_heads(value, weight, bias, attention.num_heads)


def _split_heads(sequence: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    projected = functional.linear(sequence, weight, bias)
    return projected.reshape(*projected.shape[:2], heads, -1).permute(1, 2, 0, 3)
