"""Token masking: whether the action depends on the most attended tokens more than on random ones.

Hidden tokens are masked, not set to zero: the remaining attention sums to 1 again, as if they had been masked before
the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoarm.interp.methods.ablation import chunk_distance
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import Edit, predict_chunks
from autoarm.interp.model.tokens import check_act
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TokenMasking:
    """Root mean square by which the normalised chunk moves, when some tokens are kept or hidden.

    Attributes:
        counts: Numbers of tokens.
        attention: Share of the cross-attention that falls on the top ones, `(batch, count)`.
        keep_top: Only the most attended are kept, `(batch, count)`.
        keep_random: Only random ones are kept, `(batch, count, draw)`.
        hide_top: The most attended are hidden, `(batch, count)`; NaN where none would be left.
        hide_random: Random ones are hidden, `(batch, count, draw)`.
    """

    counts: tuple[int, ...]
    attention: Floats
    keep_top: Floats
    keep_random: Floats
    hide_top: Floats
    hide_random: Floats

    def rows(self) -> list[dict[str, Any]]:
        """A row for each number of tokens, with means over batch and draws."""
        return [
            {
                "tokens": count,
                "attention": float(self.attention[:, number].mean()),
                "keep top": float(self.keep_top[:, number].mean()),
                "keep random": float(self.keep_random[:, number].mean()),
                "hide top": float(self.hide_top[:, number].mean()),
                "hide random": float(self.hide_random[:, number].mean()),
            }
            for number, count in enumerate(self.counts)
        ]


def keep_tokens(seen: Mask) -> Edit:
    """Mask all but some tokens of each observation, `(batch, token)` or one row for all, in all heads and slots."""
    mask = torch.as_tensor(np.array(seen, np.float32))

    def change(weights: torch.Tensor) -> torch.Tensor:
        return weights * mask.to(weights).reshape(-1, 1, 1, mask.shape[-1])

    return Edit(change, renormalise=True)


def token_attention(policy: Any, batch: Batch) -> Floats:
    """Cross-attention to each token, mean over the decoder's layers, heads and slots, `(batch, token)`; sums to 1."""
    found = capture(policy, [batch], _sites(policy))
    return np.asarray(np.mean([site.values.mean(axis=(1, 2), dtype=np.float64) for site in found.values()], axis=0))


def most_attended(attention: Floats, count: int) -> Mask:
    """The `count` tokens of each row with the most attention, `(batch, token)`."""
    order = np.argsort(-attention, axis=1, kind="stable")[:, :count]
    mask = np.zeros(attention.shape, bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask


def mask_tokens(
    policy: Any, batch: Batch, counts: Sequence[int], rng: np.random.Generator, draws: int = 5
) -> TokenMasking:
    """Keep and hide the most attended tokens, and random ones.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations.
        counts: Numbers of tokens, each from 1 to all of them.
        rng: Draws the random ones, anew for each observation.
        draws: Number of random draws.
    """
    with precomputed_feature_maps(policy, batch) as (shown,):
        attention = token_attention(policy, shown)
        length, tokens = attention.shape
        if draws < 1 or not counts or not all(1 <= count <= tokens for count in counts):
            raise InvalidInputError(f"{list(counts)} of {tokens} tokens", field="counts", cure=f"from 1 to {tokens}")
        clean = predict_chunks(policy, [shown])

        def moved(seen: Mask) -> Floats:
            if not seen.any():
                return np.full(length, np.nan)
            edits = {site: keep_tokens(seen) for site in _sites(policy)}
            return chunk_distance(predict_chunks(policy, [shown], edits), clean)

        top = [most_attended(attention, count) for count in counts]
        drawn = [[most_attended(rng.random(attention.shape), count) for _ in range(draws)] for count in counts]
        return TokenMasking(
            counts=tuple(counts),
            attention=np.stack([(attention * mask).sum(axis=1) for mask in top], axis=1),
            keep_top=np.stack([moved(mask) for mask in top], axis=1),
            keep_random=np.stack([np.stack([moved(mask) for mask in masks], axis=1) for masks in drawn], axis=1),
            hide_top=np.stack([moved(~mask) for mask in top], axis=1),
            hide_random=np.stack([np.stack([moved(~mask) for mask in masks], axis=1) for masks in drawn], axis=1),
        )


def _sites(policy: Any) -> list[str]:
    return [f"decoder.{n}.cross_attention.weights" for n in range(len(check_act(policy).model.decoder.layers))]
