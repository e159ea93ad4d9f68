"""An autoencoder's features in a policy that acts: its reconstruction put in, a feature turned up or down.

What is made here are edits for `autoarm.interp.model.intervene` and, in a rollout, for
`autoarm.interp.methods.edited_policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from autoarm.interp.autoencoder.activations import from_tokens, site_axes, to_tokens
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.model.intervene import Edit, mean
from autoarm.interp.model.named_array import NamedArray
from gym_autoarm.errors import InvalidInputError


def splice(policy: Any, autoencoder: SparseAutoencoder) -> Edit:
    """Put the reconstruction in the place of the activations, at all tokens of the autoencoder's site."""
    axes = site_axes(policy, autoencoder.site)

    def change(values: Tensor) -> Tensor:
        return from_tokens(autoencoder.reconstruct(to_tokens(values, axes)), axes, values)

    return Edit(change)


def steer(
    policy: Any,
    autoencoder: SparseAutoencoder,
    feature: int,
    *,
    factor: float = 0.0,
    add: float = 0.0,
) -> Edit:
    """Turn a feature up or down and leave all else, also what the autoencoder cannot tell, as it is.

    Args:
        policy: A LeRobot `ACTPolicy`.
        autoencoder: Of one of its sites.
        feature: Number of the feature.
        factor: What its activation is multiplied by: 0 takes it out, 1 leaves it.
        add: What is added to its activation after that, at every token.
    """
    axes = site_axes(policy, autoencoder.site)
    direction = autoencoder.direction(feature)
    if not (np.isfinite(factor) and np.isfinite(add)):
        raise InvalidInputError(f"{factor} and {add} are no numbers", field="factor", cure="give finite numbers")

    def change(values: Tensor) -> Tensor:
        tokens = to_tokens(values, axes)
        here = autoencoder.encode(tokens)[..., feature, None]
        moved = tokens + ((factor - 1) * here + add) * direction.to(tokens)
        return from_tokens(moved, axes, values)

    return Edit(change)


def mean_edit(reference: NamedArray) -> Edit:
    """Put one vector, the mean over observations and tokens, everywhere: what is left without any information.

    Args:
        reference: As `capture` returns it, of the whole site.
    """
    average = mean(reference)
    places = (2, 3) if reference.axes[1] == "channel" else (1,)  # a feature map's cells, or the tokens

    def change(values: Tensor) -> Tensor:
        return average.change(values).mean(dim=places, keepdim=True).expand(values.shape).clone()

    return Edit(change)


@dataclass(frozen=True, eq=False)
class Spliced:
    """The reconstruction in the place of the activations, as a recipe for `autoarm.interp.methods.edited_policy`."""

    autoencoder: SparseAutoencoder

    @property
    def label(self) -> str:
        """A few words for tables."""
        return f"{self.autoencoder.site} reconstructed"

    def edits(self, policy: Any, batch: Any, rng: np.random.Generator) -> Mapping[str, Edit]:
        return {self.autoencoder.site: splice(policy, self.autoencoder)}


@dataclass(frozen=True, eq=False)
class Steered:
    """One feature turned up or down, as a recipe for `autoarm.interp.methods.edited_policy`; see `steer`."""

    autoencoder: SparseAutoencoder
    feature: int
    factor: float = 0.0
    add: float = 0.0

    @property
    def label(self) -> str:
        """A few words for tables."""
        return f"feature {self.feature} of {self.autoencoder.site} times {self.factor:g} plus {self.add:g}"

    def edits(self, policy: Any, batch: Any, rng: np.random.Generator) -> Mapping[str, Edit]:
        edit = steer(policy, self.autoencoder, self.feature, factor=self.factor, add=self.add)
        return {self.autoencoder.site: edit}
