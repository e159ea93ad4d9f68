"""The decoder's MLP as a memory of keys and values, and the action as an exact sum over its units.

Each unit has a key (the pattern that activates it) and a value (the vector that it adds to the residual stream, times
its activation): Geva et al., arXiv:2012.14913. After the last decoder layer come only norms and a linear head. With the
scales of the norms held at their values in a forward pass, the rest is linear, and the normalised action is exactly

    skip + sum over units of activation * value + constant
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, float64

from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.tokens import check_act

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MemorySplit:
    """The normalised chunks of a batch, decomposed at the MLP of the last decoder layer.

    Attributes:
        keys: Activation of each unit, after the activation function, `(batch, slot, unit)`.
        skip: Contribution of the residual path around the MLP, `(batch, slot, action)`.
        constant: Contribution of the biases, which pass through the norms too, `(batch, slot, action)`.
        action: The policy's prediction, `(batch, slot, action)`.
        readout: Linear map from the residual stream there to the action, `(batch, slot, action, channel)`.
        directions: The vector that each unit adds to the residual stream, `(unit, channel)`.
    """

    keys: Array
    skip: Array
    constant: Array
    action: Array
    readout: Array
    directions: Array

    def values(self, units: Sequence[int] | NDArray[np.integer] | slice = slice(None)) -> Array:
        """Contribution of units to the action for an activation of 1, `(batch, slot, unit, action)`."""
        values: Array = np.einsum("bsac,uc->bsua", self.readout, self.directions[units], optimize=True)
        return values

    def contributions(self, units: Sequence[int] | NDArray[np.integer] | slice = slice(None)) -> Array:
        """Contribution of units to the action, `(batch, slot, unit, action)`."""
        found: Array = self.keys[..., units, None] * self.values(units)
        return found

    @property
    def mlp(self) -> Array:
        """Contribution of all units together to the action, `(batch, slot, action)`."""
        together: Array = np.einsum("bsac,bsc->bsa", self.readout, self.keys @ self.directions, optimize=True)
        return together

    @property
    def total(self) -> Array:
        """The sum of the parts, which is the action up to rounding."""
        total: Array = self.skip + self.mlp + self.constant
        return total

    @property
    def error(self) -> float:
        """Largest difference between the sum of the parts and the action."""
        return float(np.abs(self.total - self.action).max(initial=0.0))


def split_action(policy: Any, batch: Batch) -> MemorySplit:
    """Decompose the chunks that a policy predicts.

    Sums are in float64: the remaining error is that of the policy's own float32.

    Args:
        policy: A LeRobot `ACTPolicy`; of several decoder layers the last one is decomposed.
        batch: Observations as its preprocessor returns them.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: If the batch lacks an input of the policy.
    """
    model = check_act(policy).model
    number = len(model.decoder.layers) - 1
    layer, name = model.decoder.layers[number], f"decoder.{number}"
    sites = [f"{name}.mlp.skip", f"{name}.mlp.keys", f"{name}.mlp", "action"]
    found = {site: array.values.astype(np.float64) for site, array in capture(policy, [batch], sites).items()}
    skip, keys, mlp, action = (found[site] for site in sites)
    bias = _array(layer.linear2.bias)

    # Norms in the order in which the sum of both paths passes them. Each is applied to the values, for its scale, and
    # taken as a linear map with that scale.
    norms = [model.decoder.norm] if layer.pre_norm else [layer.norm3, model.decoder.norm]
    weight, offset = _array(model.action_head.weight), _array(model.action_head.bias)
    stream = skip + mlp
    scales = []
    for norm in norms:
        centred = stream - stream.mean(axis=-1, keepdims=True)
        scales.append(_array(norm.weight) / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + norm.eps))
        stream = centred * scales[-1] + _array(norm.bias)
    readout = np.broadcast_to(weight, (*stream.shape[:2], *weight.shape))
    constant = np.broadcast_to(offset, action.shape)
    for norm, scale in zip(reversed(norms), reversed(scales), strict=True):
        constant = constant + readout @ _array(norm.bias)
        readout = readout * scale[..., None, :]
        readout = readout - readout.mean(axis=-1, keepdims=True)
    return MemorySplit(
        keys=keys,
        skip=np.einsum("bsac,bsc->bsa", readout, skip),
        constant=constant + readout @ bias,
        action=action,
        readout=readout,
        directions=_array(layer.linear2.weight).T,
    )


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().to(float64).cpu().numpy(), np.float64)
