"""How good a sparse autoencoder is: at its activations, and at what the policy makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.autoencoder.activations import Rows, TokenActivations
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.autoencoder.splice import mean_edit, splice
from autoarm.interp.model.capture import Batch, capture, to_numpy
from autoarm.interp.model.intervene import Edit, intervene
from gym_autoarm.errors import InvalidInputError

_CHUNK = 4096


@dataclass(frozen=True)
class Quality:
    """How well an autoencoder tells activations it was not trained on.

    Attributes:
        explained_variance: 1 minus squared error over squared difference from the mean: 1 is perfect, 0 the mean.
        l0: Features that are there at a token, on average.
        dead: Part of the features that are there at no token at all.
    """

    explained_variance: float
    l0: float
    dead: float

    def row(self) -> dict[str, float]:
        """As a row of a table."""
        return asdict(self)


@dataclass(frozen=True)
class ActionLoss:
    """Mean absolute error of the normalised chunks against what was done, which is what ACT is trained on.

    Attributes:
        clean: Of the policy as it is.
        spliced: With the reconstruction in place of the activations.
        ablated: With the activations' mean in their place, the same for all observations.
        recovered: (ablated - spliced) / (ablated - clean): 1, nothing is lost; 0, no better than a constant. NaN where
            the constant does no harm either, so that there is nothing to recover.
        moved: Root mean square by which the reconstruction moves the chunk, over that of the mean.
    """

    clean: float
    spliced: float
    ablated: float
    recovered: float
    moved: float

    def row(self) -> dict[str, float]:
        """As a row of a table."""
        return asdict(self)


def quality(autoencoder: SparseAutoencoder, activations: TokenActivations) -> Quality:
    """Measure an autoencoder on activations, better other ones than those that it was trained on."""
    rows = activations.rows
    error, kept, alive = 0.0, 0, torch.zeros(autoencoder.features, dtype=torch.bool)
    for first in range(0, len(rows), _CHUNK):
        part = torch.from_numpy(np.array(rows[first : first + _CHUNK]))
        features = autoencoder.encode(part)
        error += float(((autoencoder.decode(features) - part) ** 2).sum(dtype=torch.float64))
        kept += int((features > 0).sum())
        alive |= (features > 0).any(dim=0)
    total = float(((rows - rows.mean(axis=0, dtype=np.float64)) ** 2).sum(dtype=np.float64))
    return Quality(
        explained_variance=1 - error / total if total > 0 else float("nan"),
        l0=kept / len(rows),
        dead=float((~alive).float().mean()),
    )


def action_loss(
    policy: Any,
    autoencoder: SparseAutoencoder,
    batches: Iterable[Batch],
    targets: ArrayLike,
    valid: ArrayLike | None = None,
) -> ActionLoss:
    """Let the policy predict with the reconstruction in place of the activations.

    Args:
        policy: A LeRobot `ACTPolicy`.
        autoencoder: Of one of its sites.
        batches: Observations as its preprocessor returns them.
        targets: Normalised chunks that were done there, `(observation, slot, action)`.
        valid: Which slots count, `(observation, slot)`; those behind an episode's end do not.
    """
    given = list(batches)
    reference = capture(policy, given, [autoencoder.site])[autoencoder.site]
    wanted = np.asarray(targets, np.float64)
    chunks = {
        name: _chunks(policy, given, autoencoder.site, edit)
        for name, edit in (
            ("clean", None),
            ("spliced", splice(policy, autoencoder)),
            ("ablated", mean_edit(reference)),
        )
    }
    if wanted.shape != chunks["clean"].shape:
        raise InvalidInputError(
            f"shape {wanted.shape} for chunks of {chunks['clean'].shape}", field="targets", cure="give one each"
        )
    counted = np.ones(wanted.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    loss = {name: float(np.abs(chunk - wanted)[counted].mean()) for name, chunk in chunks.items()}
    harm = loss["ablated"] - loss["clean"]
    by_mean, by_features = (
        float(np.sqrt(((chunks[name] - chunks["clean"]) ** 2).mean())) for name in ("ablated", "spliced")
    )
    return ActionLoss(
        **loss,
        recovered=(loss["ablated"] - loss["spliced"]) / harm if harm > 0 else float("nan"),
        moved=by_features / by_mean if by_mean > 0 else float("nan"),
    )


def recorded_chunks(
    actions: Rows, episodes: NDArray[np.integer], frames: NDArray[np.integer], length: int
) -> tuple[Rows, NDArray[np.bool_]]:
    """What was done from some frames on, and which of it still belongs to the same episode.

    Args:
        actions: Of the whole dataset, `(n, 6)`.
        episodes: Of each frame of it, `(n,)`, in order.
        frames: Where chunks begin, `(m,)`.
        length: Of a chunk.

    Returns:
        Actions `(m, length, 6)`, an episode's last repeated, and which are its own `(m, length)`.
    """
    steps = np.asarray(frames)[:, None] + np.arange(length)
    last = np.searchsorted(episodes, episodes[frames], side="right") - 1
    return np.asarray(actions[np.minimum(steps, last[:, None])], np.float32), steps <= last[:, None]


def _chunks(policy: Any, batches: list[Batch], site: str, edit: Edit | None) -> NDArray[np.float64]:
    if edit is None:
        return capture(policy, batches, ["action"])["action"].values.astype(np.float64)
    with intervene(policy, {site: edit}):
        found = [to_numpy(type(policy).predict_action_chunk(policy, dict(batch))) for batch in batches]
    return np.concatenate(found).astype(np.float64)
