"""Edits of a policy by a sparse autoencoder: put in its reconstruction, or scale one of its features.

The edits are for `autoarm.interp.model.intervene` and, in a rollout, for
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
    """Replace the activations by their reconstruction, at all tokens of the autoencoder's site."""
    axes = site_axes(policy, autoencoder.site)

    def change(values: Tensor) -> Tensor:
        return from_tokens(autoencoder.reconstruct(to_tokens(values, axes)), axes, values)

    return Edit(change)


def scale_feature(
    policy: Any,
    autoencoder: SparseAutoencoder,
    feature: int,
    *,
    factor: float = 0.0,
    add: float = 0.0,
) -> Edit:
    """Scale a feature or add to it; everything else, the reconstruction's error included, stays as it is.

    Args:
        policy: A LeRobot `ACTPolicy`.
        autoencoder: An autoencoder of one of its sites.
        feature: Number of the feature.
        factor: Factor of its activation: 0 removes it, 1 leaves it.
        add: Added to its activation after that, at every token.
    """
    axes = site_axes(policy, autoencoder.site)
    direction = autoencoder.direction(feature)
    if not (np.isfinite(factor) and np.isfinite(add)):
        raise InvalidInputError(f"{factor} and {add} are not both finite", field="factor", cure="give finite numbers")

    def change(values: Tensor) -> Tensor:
        tokens = to_tokens(values, axes)
        here = autoencoder.encode(tokens)[..., feature, None]
        moved = tokens + ((factor - 1) * here + add) * direction.to(tokens)
        return from_tokens(moved, axes, values)

    return Edit(change)


def mean_edit(reference: NamedArray) -> Edit:
    """Replace all activations by one vector, their mean over observations and tokens, which holds no information.

    Args:
        reference: As `capture` returns it, of the whole site.
    """
    average = mean(reference)
    places = (2, 3) if reference.axes[1] == "channel" else (1,)  # a feature map's cells, or the tokens

    def change(values: Tensor) -> Tensor:
        return average.change(values).mean(dim=places, keepdim=True).expand(values.shape).clone()

    return Edit(change)


@dataclass(frozen=True, eq=False)
class Reconstruct:
    """The reconstruction in place of the activations: an intervention for `autoarm.interp.methods.edited_policy`."""

    autoencoder: SparseAutoencoder

    @property
    def label(self) -> str:
        """A few words for tables."""
        return f"{self.autoencoder.site} reconstructed"

    def edits(self, policy: Any, batch: Any, rng: np.random.Generator) -> Mapping[str, Edit]:
        return {self.autoencoder.site: splice(policy, self.autoencoder)}
