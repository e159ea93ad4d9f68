"""Named parts of a policy, and how its predictions change without each of them.

A part is ablated in three ways, because each alone misleads (see `autoarm.interp.methods.ablation`); the control of a
few units is as many random ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.methods.ablation import Effects, knock_out, resample
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import Edit, Places, mean, zero
from autoarm.interp.model.named_array import NamedArray
from autoarm.interp.model.tokens import STATE, check_act, token_layout
from gym_autoarm.errors import InvalidInputError

Kind = Literal["zero", "mean", "resample"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True)
class Part:
    """Some places at a site.

    Attributes:
        name: Name for tables.
        site: As `autoarm.interp.model.sites` lists them.
        at: Which places there; all if None.
    """

    name: str
    site: str
    at: Places | None = None


def mlps(policy: Any) -> list[Part]:
    """The MLP of every layer."""
    model = check_act(policy).model
    layers = [("encoder", len(model.encoder.layers)), ("decoder", len(model.decoder.layers))]
    return [Part(f"{stack}.{n}.mlp", f"{stack}.{n}.mlp") for stack, count in layers for n in range(count)]


def heads(policy: Any, site: str) -> list[Part]:
    """Every head of an attention, such as `decoder.0.cross_attention`."""
    count = int(check_act(policy).config.n_heads)
    return [Part(f"{site} head {head}", f"{site}.heads", {"head": [head]}) for head in range(count)]


def state_token(policy: Any) -> Part:
    """The arm's state, where it enters the encoder."""
    return Part("state token", "tokens.in", {"token": token_layout(policy).indices(STATE)})


def units(site: str, numbers: Sequence[int] | NDArray[np.integer], name: str = "") -> Part:
    """Units of an MLP, such as those of `decoder.0.mlp`."""
    chosen = np.asarray(numbers, np.int64)
    if chosen.ndim != 1 or not len(chosen):
        raise InvalidInputError("no units", field="numbers", cure="name at least one")
    return Part(name or f"{site}: {len(chosen)} units", f"{site}.keys", {"unit": chosen})


def random_units(policy: Any, site: str, count: int, rng: np.random.Generator) -> Part:
    """Random units of an MLP: the control of `units`."""
    width = int(check_act(policy).config.dim_feedforward)
    if not 1 <= count <= width:
        raise InvalidInputError(f"{count} of {width} units", field="count", cure=f"from 1 to {width}")
    return units(site, rng.choice(width, count, replace=False), f"{site}: {count} random units")


def ablation_edit(part: Part, kind: Kind, reference: NamedArray | None, rng: np.random.Generator) -> Edit:
    """The edit that ablates a part.

    Args:
        part: The part.
        kind: With what its values are replaced.
        reference: The site's values on other observations, as `capture` returns them; not needed for `zero`.
        rng: Draws the observations of `resample`.
    """
    if kind == "zero":
        return zero(part.at)
    if reference is None:
        raise InvalidInputError(f"{kind!r} needs captured values", field="reference", cure=f"capture {part.site}")
    if kind == "mean":
        return mean(reference, part.at)
    if kind == "resample":
        return resample(reference, rng, part.at)
    raise InvalidInputError(f"{kind!r} is unknown", field="kind", cure=f"choose from {', '.join(KINDS)}")


@dataclass(frozen=True, eq=False)
class Knockouts:
    """Effects of ablations: root mean square by which the normalised chunk moves.

    Attributes:
        parts: Names of the parts.
        kinds: With what their values were replaced.
        effects: `(batch, part, kind)`.
    """

    parts: tuple[str, ...]
    kinds: tuple[Kind, ...]
    effects: Effects

    def rows(self) -> list[dict[str, Any]]:
        """A row for each part and kind, with the mean over the batch."""
        means = self.effects.mean(axis=0)
        return [
            {"part": part, "kind": kind, "effect": float(means[row, column])}
            for row, part in enumerate(self.parts)
            for column, kind in enumerate(self.kinds)
        ]


def knock_out_parts(
    policy: Any,
    batch: Batch,
    reference: Batch,
    parts: Sequence[Part],
    rng: np.random.Generator,
    kinds: Sequence[Kind] = KINDS,
) -> Knockouts:
    """Ablate each part alone, in each way.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations.
        reference: Other observations, for `mean` and `resample`.
        parts: Parts to ablate, one at a time.
        rng: Draws the observations of `resample`.
        kinds: With what their values are replaced.
    """
    effects = np.empty((_length(policy, batch), len(parts), len(kinds)))
    with precomputed_feature_maps(policy, batch, reference) as (shown, other):
        known: Mapping[str, NamedArray] = capture(policy, [other], dict.fromkeys(part.site for part in parts))
        for row, part in enumerate(parts):
            for column, kind in enumerate(kinds):
                edit = ablation_edit(part, kind, known[part.site], rng)
                effects[:, row, column] = knock_out(policy, shown, {part.site: edit})[part.site]
    return Knockouts(tuple(part.name for part in parts), tuple(kinds), effects)


def _length(policy: Any, batch: Batch) -> int:
    return len(batch[next(iter(policy.config.input_features))])
