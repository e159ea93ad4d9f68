"""Action lens: the chunk that the policy would predict if its encoder ended earlier.

The decoder is given the output of an earlier layer, as in the logit lens of language models. It was trained on the last
layer's output only, so the tuned lens goes beside it: an affine map for each layer, fitted to the last layer's output
(`autoarm.interp.methods.translator`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.ablation import Effects, chunk_distance
from autoarm.interp.methods.translator import Translator
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import Batch, capture, to_numpy
from autoarm.interp.model.intervene import predict_chunks, replace
from autoarm.interp.model.tokens import check_act
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ActionLens:
    """The chunks decoded after each number of encoder layers.

    Attributes:
        layers: Numbers of encoder layers, from 0.
        chunks: Normalised, `(layer, batch, slot, action)`; the last are the policy's own.
        translated: Chunks decoded through translators, in the same shape; None without translators.
    """

    layers: tuple[int, ...]
    chunks: Floats
    translated: Floats | None = None

    def distance(self, target: ArrayLike | None = None, translated: bool = False) -> Effects:
        """Root mean square to target chunks, `(layer, batch)`; by default to those of the policy."""
        chunks = self.translated if translated else self.chunks
        if chunks is None:
            raise InvalidInputError("there are no translators", field="translated", cure="give them to the lens")
        goal = self.chunks[-1] if target is None else np.asarray(target, np.float64)
        return np.stack([chunk_distance(early, goal) for early in chunks])


def action_lens(policy: Any, batch: Batch, translators: Mapping[int, Translator] | None = None) -> ActionLens:
    """Decode after every encoder layer.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations.
        translators: By number of layers, as `fit_translators` returns them.
    """
    depth = len(check_act(policy).model.encoder.layers)
    chunks, translated = [], []
    with precomputed_feature_maps(policy, batch) as (shown,):
        for layers in range(depth + 1):
            early = early_output(policy, shown, layers)
            chunks.append(_decode(policy, shown, early))
            if translators is not None:
                said = translators[layers](early) if layers in translators else early
                translated.append(_decode(policy, shown, said))
    return ActionLens(tuple(range(depth + 1)), np.stack(chunks), np.stack(translated) if translated else None)


def early_output(policy: Any, batch: Batch, layers: int) -> NDArray[np.float32]:
    """The encoder's output after some layers, its final norm (if any) included, `(batch, token, channel)`.

    Raises:
        InvalidInputError: If the encoder has fewer layers.
    """
    encoder = check_act(policy).model.encoder
    if not 0 <= layers <= len(encoder.layers):
        raise InvalidInputError(f"{layers} of {len(encoder.layers)} layers", field="layers")
    site = f"encoder.{layers - 1}.out" if layers else "tokens.in"
    values = capture(policy, [batch], [site])[site].values
    device = next(policy.parameters()).device
    with torch.no_grad():
        # The identity unless norms come first.
        return to_numpy(encoder.norm(torch.from_numpy(values).to(device)))


def _decode(policy: Any, batch: Batch, tokens: NDArray[np.float32]) -> Floats:
    return predict_chunks(policy, [batch], {"encoder.out": replace(tokens)}).astype(np.float64)
