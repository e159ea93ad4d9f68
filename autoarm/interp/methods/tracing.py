"""Causal tracing: which layer, token and part of the network carries what differs between two observations.

Values of a source observation are put, one place at a time, into the forward pass of a clean one; the normalised effect
is how far the action goes towards the source's (Meng et al., arXiv:2202.05262). Two places have known answers in any
ACT: the first decoder layer's self-attention, which does not depend on the observation, carries exactly 0, and the
encoder's whole output exactly 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.methods.ablation import normalised_effect
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import chosen, predict_chunks, replace
from autoarm.interp.model.tokens import check_act, token_layout
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]

PARTS: Final = ("attention", "mlp", "stream")
"""Parts of an encoder layer: the outputs of its attention and of its MLP, and the residual stream after it."""
DECODER_PARTS: Final = ("self-attention", "cross-attention", "mlp", "skip")
"""Parts of the last decoder layer. `skip` is the residual path around the MLP, whose own output is kept clean."""
ALL: Final = "all"
"""The group of all tokens."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Normalised effects of a batch; NaN where clean and source act alike.

    Attributes:
        layers: Names of the encoder's places, its input first.
        groups: Names of the token groups.
        encoder: `(batch, layer, group, part)`, parts as in `PARTS`; the input has only a stream, other parts are NaN.
        decoder: `(batch, part)`, parts as in `DECODER_PARTS`.
    """

    layers: tuple[str, ...]
    groups: tuple[str, ...]
    encoder: Floats
    decoder: Floats

    def rows(self) -> list[dict[str, Any]]:
        """A row for each place, with the mean effect over the batch."""
        found = [
            {"layer": layer, "tokens": group, "part": part, "effect": _mean(self.encoder[:, row, column, number])}
            for row, layer in enumerate(self.layers)
            for column, group in enumerate(self.groups)
            for number, part in enumerate(PARTS)
        ]
        found += [
            {"layer": "decoder", "tokens": ALL, "part": part, "effect": _mean(self.decoder[:, number])}
            for number, part in enumerate(DECODER_PARTS)
        ]
        return [row for row in found if row["effect"] is not None]


def trace(policy: Any, clean: Batch, source: Batch, groups: Sequence[str] | None = None) -> Trace:
    """Patch each layer, token group and part on its own.

    Args:
        policy: A LeRobot `ACTPolicy`.
        clean: Observations, whose forward pass is patched.
        source: As many others, such as the same scenes with the cube elsewhere.
        groups: Names of token groups, as in `TokenLayout.groups`; by default all of these, and `ALL`.

    Raises:
        InvalidInputError: For an unknown group, or batches of different sizes.
    """
    model = check_act(policy).model
    layout = token_layout(policy, clean)
    names = (*layout.groups, ALL) if groups is None else tuple(groups)
    places = {name: None if name == ALL else {"token": layout.indices(name)} for name in names}
    layers = range(len(model.encoder.layers))
    sites = {
        (number + 1, part): f"encoder.{number}.{'out' if part == 'stream' else part}"
        for number in layers
        for part in PARTS
    } | {(0, "stream"): "tokens.in"}
    last = f"decoder.{len(model.decoder.layers) - 1}"
    with precomputed_feature_maps(policy, clean, source) as (start, goal):
        captured = [f"{last}.self_attention", f"{last}.cross_attention", f"{last}.mlp", "action"]
        there = capture(policy, [goal], [*sites.values(), *captured])
        here = capture(policy, [start], ["action", f"{last}.mlp"])
        first, target = here["action"].values, there["action"].values
        if len(first) != len(target):
            raise InvalidInputError(f"{len(target)} observations for {len(first)}", field="source", cure="give as many")
        encoder = np.full((len(first), len(layers) + 1, len(names), len(PARTS)), np.nan)
        for (row, part), site in sites.items():
            for column, place in enumerate(places.values()):
                edit = {site: replace(np.array(chosen(there[site], place)), place)}
                patched = predict_chunks(policy, [start], edit)
                encoder[:, row, column, PARTS.index(part)] = normalised_effect(first, patched, target)
        reached = [predict_chunks(policy, [start], {site: replace(there[site])}) for site in captured[:3]]
        # The source's forward pass with the clean MLP output: what differs has come around the MLP.
        reached.append(predict_chunks(policy, [goal], {f"{last}.mlp": replace(here[f"{last}.mlp"])}))
        decoder = np.stack([normalised_effect(first, each, target) for each in reached], axis=1)
    return Trace(("input", *(str(number) for number in layers)), names, encoder, decoder)


def _mean(values: Floats) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
