"""How good a sparse autoencoder is, by its activations and by the policy's actions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autoarm.data.chunks import chunk_indices, episode_ends
from autoarm.interp.autoencoder.activations import Rows, TokenActivations
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.autoencoder.splice import mean_edit, splice
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import predict_chunks
from gym_autoarm.errors import InvalidInputError

_CHUNK = 4096


@dataclass(frozen=True)
class Quality:
    """How well an autoencoder reconstructs activations.

    Attributes:
        explained_variance: 1 minus squared error over squared difference from the mean: 1 is perfect, 0 the mean.
        l0: Mean number of active features at a token.
        dead: Share of the features that are active at no token.
    """

    explained_variance: float
    l0: float
    dead: float

    def row(self) -> dict[str, float]:
        """Its numbers by name."""
        return asdict(self)


@dataclass(frozen=True)
class ActionLoss:
    """Mean absolute error of the normalised chunks against the recorded actions: ACT's training loss.

    Attributes:
        clean: Error of the policy as it is.
        spliced: Error with the reconstruction in place of the activations.
        ablated: Error with the activations' mean in their place, the same for all observations.
        recovered: (ablated - spliced) / (ablated - clean): 1, nothing is lost; 0, no better than a constant. NaN where
            the constant does no harm.
        moved: Root mean square by which the reconstruction moves the chunk, divided by that of the mean.
    """

    clean: float
    spliced: float
    ablated: float
    recovered: float
    moved: float

    def row(self) -> dict[str, float]:
        """Its numbers by name."""
        return asdict(self)


def quality(autoencoder: SparseAutoencoder, activations: TokenActivations) -> Quality:
    """Measure an autoencoder on activations, which should not be those that it was trained on."""
    rows = activations.rows
    error, kept, alive = 0.0, 0, torch.zeros(autoencoder.features, dtype=torch.bool)
    # Not with scikit-learn: the features of all rows at once would not fit in memory.
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
    """Measure the policy's error with the reconstruction in place of the activations.

    Args:
        policy: A LeRobot `ACTPolicy`.
        autoencoder: An autoencoder of one of its sites.
        batches: Observations as its preprocessor returns them.
        targets: Recorded chunks, normalised, `(observation, slot, action)`.
        valid: Which slots count, `(observation, slot)`; those after an episode's end should not.
    """
    given = list(batches)
    reference = capture(policy, given, [autoencoder.site])[autoencoder.site]
    wanted = np.asarray(targets, np.float64)
    chunks = {
        name: predict_chunks(policy, given, edits).astype(np.float64)
        for name, edits in (
            ("clean", None),
            ("spliced", {autoencoder.site: splice(policy, autoencoder)}),
            ("ablated", {autoencoder.site: mean_edit(reference)}),
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
    """The recorded chunks that begin at some frames, and which of their actions belong to the same episode.

    Args:
        actions: Actions of the whole dataset, `(n, 6)`.
        episodes: Episode of each of its frames, `(n,)`, in order.
        frames: Frames where chunks begin, `(m,)`.
        length: Length of a chunk.

    Returns:
        Actions `(m, length, 6)`, the episode's last one repeated past its end, and which lie before it, `(m, length)`.
    """
    chosen, filled = chunk_indices(frames, episode_ends(episodes)[frames], length)
    return np.asarray(actions[chosen], np.float32), ~filled
