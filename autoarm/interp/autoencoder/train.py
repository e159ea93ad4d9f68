"""Training with SAELens, whose trainer takes an iterator of tensors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from autoarm.interp.autoencoder.activations import TokenActivations, shuffled
from autoarm.interp.autoencoder.model import SparseAutoencoder
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.extras import require_extra
from gym_autoarm.rng import stream

Kind = Literal["topk", "batchtopk", "jumprelu"]
"""Rule by which features are active: the k largest of each token (Gao et al., arXiv:2406.04093), k a token on average
over a batch (Bussmann et al., arXiv:2412.06410), or all above a threshold that is learnt (Rajamanoharan et al.,
arXiv:2407.14435), with a quadratic penalty on deviations from k."""

_DECODER_NORM: Final = 0.1
_BANDWIDTH: Final = 0.3
"""Bandwidth of JumpReLU's straight-through gradients, and its initial threshold, in standard deviations of the
activations. Adam moves a threshold's logarithm by the learning rate a step: from near zero, training would be long."""
_SPARSITY: Final = 3e-2
"""Weight of the penalty on deviations from k, beside squared errors that sum to the number of channels at first."""


@dataclass(frozen=True)
class TrainOptions:
    """Training options.

    Attributes:
        kind: Rule by which features are active.
        features: Number of features.
        k: Number of active features at a token: exactly, on average, or as the target of a penalty.
        samples: Total number of activations seen, with repetition.
        batch: Batch size.
        learning_rate: Learning rate of Adam; falls to 0 over the last fifth.
        seed: Random seed of the initial weights and of the order.
        frozen_decoder: Keep the features' random initial directions: a control. Whatever it does as well as the
            trained one needs no learned directions.
    """

    kind: Kind = "topk"
    features: int = 512
    k: int = 16
    samples: int = 400_000
    batch: int = 512
    learning_rate: float = 1e-3
    seed: int = 0
    frozen_decoder: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InvalidInputError(f"{self.kind!r} is unknown", field="kind", cure="topk, batchtopk or jumprelu")
        if not 1 <= self.k <= self.features:
            raise InvalidInputError(f"{self.k} of {self.features} features", field="k", cure="at least 1, at most all")
        if self.batch < 2 or self.samples < self.batch:
            raise InvalidInputError(f"{self.samples} samples in batches of {self.batch}", field="samples", cure="more")
        if not self.learning_rate > 0:
            raise InvalidInputError(
                f"{self.learning_rate} is not positive", field="learning_rate", cure="give a positive number"
            )


def train_autoencoder(
    activations: TokenActivations,
    options: TrainOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SparseAutoencoder:
    """Train an autoencoder on all tokens of some observations.

    Args:
        activations: Activations of one site.
        options: Training options.
        progress: Called with the activations seen so far and their total.

    Raises:
        InvalidInputError: If SAELens is not installed, or there are fewer activations than a batch holds.
    """
    options = options or TrainOptions()
    saes, trainers, configs = _saelens()
    rows = activations.rows
    mean, scale = rows.mean(axis=0, dtype=np.float64), float(rows.std(axis=0, dtype=np.float64).mean())
    if not scale > 0:
        raise InvalidInputError(
            f"{activations.site!r} is the same everywhere", field="site", cure="choose one that depends on the input"
        )
    normalised = ((rows - mean) / scale).astype(np.float32)
    steps = options.samples // options.batch
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stderr(io.StringIO()):  # where its own bar goes
        torch.manual_seed(int(stream(options.seed, "autoencoder").integers(2**31)))
        sae = _new(saes, options, rows.shape[1])
        if options.frozen_decoder:
            sae.W_dec.requires_grad_(False)
        config = configs.SAETrainerConfig(
            total_training_samples=steps * options.batch,
            train_batch_size_samples=options.batch,
            lr=options.learning_rate,
            lr_end=options.learning_rate,  # required, though a constant rate falls to 0 anyway
            lr_decay_steps=steps // 5,
            lr_warm_up_steps=min(50, steps // 10),
            # Early enough that the auxiliary loss can revive the dead within a short training.
            dead_feature_window=max(20, steps // 10),
        )
        source = _watched(shuffled(normalised, options.batch, stream(options.seed, "order")), steps, options, progress)
        trainers.SAETrainer(config, sae, source).fit()
    return _frozen(sae, activations.site, options, mean, scale)


def _saelens() -> tuple[Any, Any, Any]:
    require_extra("sae_lens", "SAELens", "sae")
    # By name: it carries no types, and its evaluation, which is bound to language models, is never touched.
    return (
        import_module("sae_lens.saes"),
        import_module("sae_lens.training.sae_trainer"),
        import_module("sae_lens.config"),
    )


def _new(saes: Any, options: TrainOptions, channels: int) -> Any:
    common = {"d_in": channels, "d_sae": options.features, "decoder_init_norm": _DECODER_NORM}
    if options.kind == "jumprelu":
        config = saes.JumpReLUTrainingSAEConfig(
            **common,
            jumprelu_sparsity_loss_mode="quadratic",
            target_l0=float(options.k),
            l0_coefficient=_SPARSITY * channels,
            l0_warm_up_steps=options.samples // options.batch // 5,
            jumprelu_bandwidth=_BANDWIDTH,
            jumprelu_init_threshold=_BANDWIDTH,
            # Else the penalty moves thresholds alone, by the learning rate a step, and weights outgrow them.
            jumprelu_ste_to_input=True,
        )
        return saes.JumpReLUTrainingSAE(config)
    if options.kind == "topk":
        return saes.TopKTrainingSAE(saes.TopKTrainingSAEConfig(**common, k=options.k))
    return saes.BatchTopKTrainingSAE(saes.BatchTopKTrainingSAEConfig(**common, k=float(options.k)))


def _watched(source: Any, steps: int, options: TrainOptions, progress: Callable[[int, int], None] | None) -> Any:
    for number in range(steps):
        if progress is not None:
            progress(number * options.batch, steps * options.batch)
        yield next(source)


def _frozen(sae: Any, site: str, options: TrainOptions, mean: Any, scale: float) -> SparseAutoencoder:
    """The form that all kinds share: decoder directions of length 1, everything else scaled to match."""
    state: dict[str, Tensor] = {name: value.detach().clone().cpu() for name, value in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(state)
    decoder = state["W_dec"].float()
    norms = decoder.norm(dim=1).clamp_min(1e-12)
    bias = state["b_enc"].float() - state["b_dec"].float() @ state["W_enc"].float() * float(
        sae.cfg.apply_b_dec_to_input
    )
    threshold = state.get("threshold", torch.zeros_like(bias)).float().clamp_min(0.0)
    return SparseAutoencoder(
        site=site,
        kind=options.kind,
        k=options.k if options.kind == "topk" else 0,
        mean=torch.as_tensor(mean, dtype=torch.float32),
        scale=torch.tensor(scale, dtype=torch.float32),
        encoder=state["W_enc"].float() * norms,
        bias=bias * norms,
        decoder=decoder / norms[:, None],
        offset=state["b_dec"].float(),
        threshold=threshold * norms,
    )
