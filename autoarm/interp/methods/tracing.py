"""Causal tracing: which layer, token and part of the network carries what differs between two observations.

Values of a source observation are put, one place at a time, into the forward pass of a clean one; the normalised effect
says how far the action goes towards the source's (Meng et al., arXiv:2202.05262). Two places have known answers in any
ACT: the first decoder layer's self-attention, which does not depend on the observation, carries exactly 0, and the
encoder's whole output exactly 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.methods.ablation import normalised_effect
from autoarm.interp.model.cached_backbone import backbone_once
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import Edit, chosen, intervene, replace
from autoarm.interp.model.tokens import check_act, token_layout
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]

PARTS: Final = ("attention", "mlp", "stream")
"""Of an encoder layer: what its attention adds, what its MLP adds, and all that leaves it, the path around included."""
DECODER_PARTS: Final = ("self-attention", "cross-attention", "mlp", "skip")
"""Of the last decoder layer. `skip` is all that comes by the path around the MLP, as if the MLP had noticed nothing."""
ALL: Final = "all"
"""The group of all tokens."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Normalised effects of a batch; NaN where clean and source act alike.

    Attributes:
        layers: Names of the encoder's places, its input first.
        groups: Of tokens.
        encoder: `(batch, layer, group, part)`, parts as in `PARTS`; the input has a stream alone and NaN else.
        decoder: `(batch, part)`, parts as in `DECODER_PARTS`.
    """

    layers: tuple[str, ...]
    groups: tuple[str, ...]
    encoder: Floats
    decoder: Floats

    def rows(self) -> list[dict[str, Any]]:
        """Mean effect over the batch of each place."""
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
        clean: Observations into whose forward pass values are put.
        source: As many others, such as the same with the cube elsewhere.
        groups: Of tokens, as `TokenLayout.groups` names them; all of these by default, and `ALL` together.

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
    with backbone_once(policy, clean, source) as (start, goal):
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
                encoder[:, row, column, PARTS.index(part)] = normalised_effect(first, _run(policy, start, edit), target)
        reached = [_run(policy, start, {site: replace(there[site])}) for site in captured[:3]]
        # The source's pass with the clean MLP's output: whatever arrives has come around it.
        reached.append(_run(policy, goal, {f"{last}.mlp": replace(here[f"{last}.mlp"])}))
        decoder = np.stack([normalised_effect(first, each, target) for each in reached], axis=1)
    return Trace(("input", *(str(number) for number in layers)), names, encoder, decoder)


def _run(policy: Any, batch: Batch, edits: Mapping[str, Edit]) -> NDArray[np.float32]:
    with intervene(policy, edits):
        return capture(policy, [batch], ["action"])["action"].values


def _mean(values: Floats) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
