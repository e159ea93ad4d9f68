"""Where cubes are laid when a few demonstrations are to cover the whole work area.

Drawn at random, fifty positions leave out a fifth of the area: it lies beyond all of them, where a policy has to
extrapolate. Here they are spread evenly, by a Halton sequence, and moved towards the edges as Chebyshev's nodes are,
between which a polynomial interpolates best.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from gym_autoarm import spec
from gym_autoarm.rng import stream


def spread_spots(count: int, seed: int, area: spec.Area = spec.WORK_AREA) -> tuple[str, ...]:
    """Poses of the cube, as `gym_autoarm.sampling.spot_pose` reads them: every turn, and places up to the edges.

    A cube looks the same after a quarter of a turn, so that turns have no edges to move to.

    Args:
        count: How many poses; a smaller number gives the first of a larger one's.
        seed: Seed of the sequence's scrambling.
        area: Between which bounds.
    """
    units = qmc.Halton(3, scramble=True, rng=stream(seed, "layout", "spread")).random(count)
    low, high = np.transpose(area)
    nearness = (1.0 - np.cos(np.pi * units[:, :2])) / 2.0
    places = low + nearness * (high - low)
    turns = (2.0 * units[:, 2] - 1.0) * 45.0
    return tuple(f"{x:.4f}:{y:.4f}:{yaw:.1f}" for (x, y), yaw in zip(places, turns, strict=True))
