"""Action lens: what the policy would do if its encoder ended earlier.

The decoder reads the tokens as they leave a layer, later ones skipped, as the logit lens does with words. Layers speak
the last one's language only as far as training made them, so that a translator for each layer, an affine map fitted to
what the last one says, goes beside it (`autoarm.interp.methods.translator`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.ablation import Effects
from autoarm.interp.methods.translator import Translator
from autoarm.interp.model.cached_backbone import backbone_once
from autoarm.interp.model.capture import Batch, capture, to_numpy
from autoarm.interp.model.intervene import intervene, replace
from autoarm.interp.model.tokens import check_act
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ActionLens:
    """What is decoded after each number of encoder layers.

    Attributes:
        layers: How many layers the tokens have been through, from 0.
        chunks: Normalised, `(layer, batch, slot, action)`; the last is what the policy does.
        translated: The same through translators; None without.
    """

    layers: tuple[int, ...]
    chunks: Floats
    translated: Floats | None = None

    def distance(self, target: ArrayLike | None = None, translated: bool = False) -> Effects:
        """Root mean square between what is decoded and a target, `(layer, batch)`; by default what the policy does."""
        chunks = self.translated if translated else self.chunks
        if chunks is None:
            raise InvalidInputError("there are no translators", field="translated", cure="give them to the lens")
        goal = self.chunks[-1] if target is None else np.asarray(target, np.float64)
        return np.asarray(np.sqrt(((chunks - goal) ** 2).mean(axis=(2, 3))))


def action_lens(policy: Any, batch: Batch, translators: Mapping[int, Translator] | None = None) -> ActionLens:
    """Decode after every encoder layer.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations.
        translators: By the number of layers before them, as `fit_translators` returns them.
    """
    depth = len(check_act(policy).model.encoder.layers)
    chunks, translated = [], []
    with backbone_once(policy, batch) as (shown,):
        for layers in range(depth + 1):
            early = early_output(policy, shown, layers)
            chunks.append(_decode(policy, shown, early))
            if translators is not None:
                said = translators[layers](early) if layers in translators else early
                translated.append(_decode(policy, shown, said))
    return ActionLens(tuple(range(depth + 1)), np.stack(chunks), np.stack(translated) if translated else None)


def early_output(policy: Any, batch: Batch, layers: int) -> NDArray[np.float32]:
    """What the encoder would give after so many layers, `(batch, token, channel)`; its last norm, if any, included.

    Raises:
        InvalidInputError: If it has not so many.
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
    with intervene(policy, {"encoder.out": replace(tokens)}):
        return np.asarray(capture(policy, [batch], ["action"])["action"].values, np.float64)
