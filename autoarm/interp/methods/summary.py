"""Summaries of attention. Every function works on the last axes of an array and keeps those before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from autoarm.interp.model.tokens import TokenLayout
from gym_autoarm.errors import InvalidInputError

Weights = NDArray[np.float32]


def shares(weights: Weights, layout: TokenLayout) -> dict[str, Weights]:
    """How attention divides between latent, state and cameras.

    Args:
        weights: `(..., token)`.
        layout: Layout of the tokens.

    Returns:
        `(...)` for each group; all groups sum to what the weights sum to.
    """
    if weights.shape[-1] != layout.size:
        raise InvalidInputError(f"weights of shape {weights.shape} for {layout.size} tokens", field="weights")
    return {group: weights[..., layout.indices(group)].sum(axis=-1) for group in layout.groups}


def entropy[F: np.floating[Any]](shares: NDArray[F]) -> NDArray[F]:
    """Shannon entropy over the last axis, in nats: 0 for one token, ln n for n equal ones."""
    return np.asarray(entr(shares).sum(axis=-1), shares.dtype)


def effective_tokens(weights: Weights) -> Weights:
    """Perplexity: how many tokens of equal weight have this entropy, between 1 and the number of tokens."""
    return np.asarray(np.exp(entropy(weights)), np.float32)


def rollout(encoder: Sequence[Weights], decoder: Weights | None = None) -> Weights:
    """Attention rollout: how far each input token could reach through all encoder layers at once.

    Mean over heads, half of each layer the path around its attention, layers multiplied (Abnar & Zuidema,
    arXiv:2005.00928). It ignores values and MLPs: a description, not an explanation.

    Args:
        encoder: For each layer `(..., head, query, token)`.
        decoder: Cross-attention of one layer `(..., head, slot, token)`, to follow back through the encoder.

    Returns:
        `(..., query, token)`, or with a decoder `(..., slot, token)`; sums to 1 over the tokens.
    """
    if not encoder:
        raise InvalidInputError("there is no encoder layer", field="encoder", cure="record the encoder too")
    reach = np.eye(encoder[0].shape[-1], dtype=np.float32)
    for layer in encoder:
        mean = layer.mean(axis=-3)
        reach = (mean @ reach + reach) / 2
    return reach if decoder is None else np.asarray(decoder.mean(axis=-3) @ reach, np.float32)
