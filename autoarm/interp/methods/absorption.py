"""How the arm's state reaches the action: through its own token, or through pixel tokens that have absorbed it.

The policy is shown the same frames with another state. How much of the action's change goes with the state token at the
encoder's output is its direct effect; how much with the pixel tokens, into which the encoder's attention has carried
it, its indirect effect. A state that the action does not answer to is unused, which is not absorbed: the effects are
NaN there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.ablation import NOISE, Effects, chunk_distance, normalised_effect
from autoarm.interp.methods.probes import group_folds, predict_numbers, project, r_squared
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import block, chosen, predict_chunks, replace
from autoarm.interp.model.tokens import STATE, TokenLayout, check_act, token_layout
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]

_OUT: Final = "encoder.out"


@dataclass(frozen=True, eq=False)
class Absorption:
    """Effects of another state with the same frames, `(batch,)` each, as shares of the total effect.

    Attributes:
        total: Root mean square by which the other state moves the normalised chunk.
        direct: Through the state token at the encoder's output alone.
        indirect: Through the pixel tokens there alone.
        rest: Through the latent and other tokens there alone.
        blocked: What is left of the change when, in every encoder layer, no other token can look at the state's.
    """

    total: Effects
    direct: Effects
    indirect: Effects
    rest: Effects
    blocked: Effects

    def means(self) -> dict[str, float]:
        """Means over the observations whose action depends on the state at all; NaN if there is none."""
        shares = {name: getattr(self, name) for name in ("direct", "indirect", "rest", "blocked")}
        used = np.isfinite(self.direct)
        return {name: float(values[used].mean()) if used.any() else float("nan") for name, values in shares.items()}


def absorption(policy: Any, batch: Batch, states: ArrayLike, together: int = 8) -> Absorption:
    """Give the policy other states with the same frames, and patch the encoder's output.

    Args:
        policy: A LeRobot `ACTPolicy` with a state and a camera.
        batch: Observations.
        states: Other states, normalised like those of `batch`, `(batch, joint)`.
        together: Most observations in one forward pass, which memory depends on.

    Raises:
        InvalidInputError: If the policy has no state or no camera, or the shapes do not fit.
    """
    layout = token_layout(policy, batch)
    if STATE not in layout.vectors or not layout.grids:
        raise InvalidInputError("a state and a camera are needed", field="policy", cure="choose another policy")
    other = with_states(batch, states)
    parts = []
    for first in range(0, len(batch["observation.state"]), together):
        rows = slice(first, first + together)
        clean, source = ({key: given[key][rows] for key in policy.config.input_features} for given in (batch, other))
        parts.append(_absorption(policy, clean, source, layout))
    return Absorption(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _absorption(policy: Any, clean: Batch, source: Batch, layout: TokenLayout) -> tuple[Effects, ...]:
    state = layout.indices(STATE)
    pixels = np.concatenate([layout.indices(camera) for camera in layout.grids])
    rest = np.setdiff1d(np.arange(layout.size), np.concatenate([state, pixels]))
    others = np.setdiff1d(np.arange(layout.size), state)
    layers = range(len(check_act(policy).model.encoder.layers))
    blocks = {f"encoder.{n}.attention.weights": block({"query": others, "token": state}) for n in layers}
    with precomputed_feature_maps(policy, clean, source) as (start, goal):
        there = capture(policy, [goal], [_OUT, "action"])
        first = predict_chunks(policy, [start])
        target = there["action"].values
        direct, indirect, other = (
            normalised_effect(
                first, predict_chunks(policy, [start], {_OUT: replace(chosen(there[_OUT], at), at)}), target
            )
            for at in ({"token": tokens} for tokens in (state, pixels, rest))
        )
        # Blocking alone moves the action too; what the state still does is the difference that it makes then.
        left = predict_chunks(policy, [goal], blocks).astype(np.float64) - predict_chunks(policy, [start], blocks)
    total = chunk_distance(target, first)
    blocked = normalised_effect(first, first + left, target)
    return total, direct, indirect, other, blocked


def responsive_share(found: Absorption) -> float:
    """Share of the observations whose action depends on the state at all."""
    return float((found.total >= NOISE).mean())


def with_states(batch: Batch, states: ArrayLike) -> dict[str, Any]:
    """The same observations with other states, `(batch, joint)`."""
    import torch

    old = batch["observation.state"]
    new = torch.as_tensor(states if torch.is_tensor(states) else np.array(states, np.float32)).to(old)
    if new.shape != old.shape:
        raise InvalidInputError(f"shape {tuple(new.shape)}, not {tuple(old.shape)}", field="states")
    return {**batch, "observation.state": new}


def state_in_pixels(
    policy: Any, batch: Batch, states: ArrayLike, groups: ArrayLike, limit: int = 1024
) -> dict[str, tuple[float, float]]:
    """How well a probe reads the state off the pixel tokens, layer by layer: the given state, and the one it replaced.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations, more than a few.
        states: States given in place of the real ones and unrelated to them, `(batch, joint)`.
        groups: Group of every observation, such as its episode; a group is kept on one side of the split.
        limit: Most features, as in `collect_features`.

    Returns:
        For the encoder's input and the output of each layer, R² of the given and of the replaced states. The second
        can be read because the frames show the arm.
    """
    own = batch["observation.state"].double().cpu().numpy()
    given = np.asarray(states, np.float64)
    layout = token_layout(policy, batch)
    pixels = np.concatenate([layout.indices(camera) for camera in layout.grids])
    sites = ["tokens.in", *(f"encoder.{n}.out" for n in range(len(check_act(policy).model.encoder.layers)))]
    with precomputed_feature_maps(policy, with_states(batch, given)) as (shown,):
        found = capture(policy, [shown], sites)
    scores = {}
    folds = group_folds(groups)
    for site, values in found.items():
        features = project(values.values[:, pixels].reshape(len(own), -1), limit)
        predicted = predict_numbers(features, np.concatenate([given, own], axis=1), folds, groups)
        both = r_squared(np.concatenate([given, own], axis=1), predicted)
        scores[site] = float(np.nanmean(both[: own.shape[1]])), float(np.nanmean(both[own.shape[1] :]))
    return scores
