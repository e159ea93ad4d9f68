"""A trained sparse autoencoder of any kind: encode, decode, save, load. It does not need SAELens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autoarm.runtime.files import replacing
from gym_autoarm.errors import InvalidFileError, InvalidInputError

_TENSORS: Final = ("mean", "scale", "encoder", "bias", "decoder", "offset", "threshold")
_KEY: Final = "autoencoder"
_CURE: Final = "train it again with `autoarm interp sae`"


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """Activations as an offset plus few of many directions, each times the activation of its feature.

    Attributes:
        site: Site whose activations it was trained on.
        kind: Rule by which features are active: `topk`, `batchtopk` or `jumprelu`.
        k: Largest number of active features, for `topk`; 0 otherwise.
        mean: Mean of the activations, `(channel,)`.
        scale: Divisor of their differences from the mean, a scalar.
        encoder: Encoder weights, `(channel, feature)`.
        bias: Encoder biases, `(feature,)`.
        decoder: Directions of the features, unit vectors, `(feature, channel)`.
        offset: Decoder bias, `(channel,)`.
        threshold: Activation below which a feature is 0, `(feature,)`.
    """

    site: str
    kind: str
    k: int
    mean: Tensor
    scale: Tensor
    encoder: Tensor
    bias: Tensor
    decoder: Tensor
    offset: Tensor
    threshold: Tensor

    def __post_init__(self) -> None:
        channels, features = self.encoder.shape if self.encoder.ndim == 2 else (0, 0)
        wanted = {
            "mean": (channels,),
            "scale": (),
            "encoder": (channels, features),
            "bias": (features,),
            "decoder": (features, channels),
            "offset": (channels,),
            "threshold": (features,),
        }
        for name, shape in wanted.items():
            tensor = getattr(self, name)
            if tuple(tensor.shape) != shape or not torch.isfinite(tensor).all():
                raise InvalidInputError(f"shape {tuple(tensor.shape)}, or not finite", field=name, cure=_CURE)
        if not 0 <= self.k <= features or not self.scale > 0:
            raise InvalidInputError("k or scale make no sense", field="k", cure=_CURE)

    @property
    def channels(self) -> int:
        """Number of channels of the activations."""
        return int(self.encoder.shape[0])

    @property
    def features(self) -> int:
        """Number of features, active or not."""
        return int(self.encoder.shape[1])

    def encode(self, activations: Tensor) -> Tensor:
        """Activations of the features, `(..., channel)` to `(..., feature)`: never negative, mostly 0."""
        if activations.shape[-1] != self.channels:
            raise InvalidInputError(
                f"{activations.shape[-1]} channels, trained on {self.channels}", field="activations", cure=_CURE
            )
        centred = (activations.float() - self.mean.to(activations.device)) / self.scale.to(activations.device)
        before = centred @ self.encoder.to(centred.device) + self.bias.to(centred.device)
        kept = before.relu() * (before > self.threshold.to(centred.device))
        if not self.k:
            return kept
        best = kept.topk(self.k, dim=-1)
        return torch.zeros_like(kept).scatter_(-1, best.indices, best.values)

    def decode(self, features: Tensor) -> Tensor:
        """Activations of the site from those of the features, `(..., feature)` to `(..., channel)`."""
        device = features.device
        normalised = features @ self.decoder.to(device) + self.offset.to(device)
        return normalised * self.scale.to(device) + self.mean.to(device)

    def reconstruct(self, activations: Tensor) -> Tensor:
        """Activations encoded and decoded again."""
        return self.decode(self.encode(activations)).to(activations.dtype)

    def direction(self, feature: int) -> Tensor:
        """The change of the site's activations for a feature activation of 1, `(channel,)`."""
        if not 0 <= feature < self.features:
            raise InvalidInputError(f"there is no feature {feature}", field="feature", cure=f"0 to {self.features - 1}")
        return self.decoder[feature] * self.scale

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        about = json.dumps({"site": self.site, "kind": self.kind, "k": self.k})
        tensors = {name: getattr(self, name).detach().cpu().float().contiguous() for name in _TENSORS}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={_KEY: about})

    @classmethod
    def load(cls, path: Path) -> SparseAutoencoder:
        """Read what `save` wrote. Raises `InvalidFileError` if it is something else."""
        try:
            with safe_open(path, framework="pt") as file:
                about: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            return cls(str(about["site"]), str(about["kind"]), int(about["k"]), **tensors)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InvalidFileError(f"no sparse autoencoder: {error}", file=path, cure=_CURE) from error
