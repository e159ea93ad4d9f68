"""How well a fit knows its numbers.

Errors of a simulation are no white noise: they last as long as a pose does, and come from what the model leaves out.
What is independent are motions, or, of few motions, blocks of a few seconds. The intervals are those of the sandwich
estimator that keeps each of these together. Added is what does not average out in any recording: drivers cut goals to
whole ticks of the encoder, and read one servo after another.
Source: A. C. Cameron and D. L. Miller, "A practitioner's guide to cluster-robust inference", Journal of Human Resources
50 (2015), with Student's t for the number of clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from autoarm.system_id.fit import Linearised
from autoarm.system_id.motion import Vector
from autoarm.system_id.parameters import LAG, LIMIT, STICKING, STIFFNESS
from autoarm.system_id.stretches import Stretch
from autoarm.system_id.units import TICK

Interval = tuple[float, float]

_MANY: Final = 8
"""Motions from which on they are the clusters, rather than blocks of them."""
_BLOCK: Final = 2.0
"""Seconds of a block: several times as long as an arm takes to reach its goal."""
_CONFIDENCE: Final = 0.95
_OFFSET: Final = TICK / 2
"""Degrees by which all positions of a joint may be off, standard deviation: goals are cut to whole ticks."""
_HYSTERESIS: Final = TICK / 4
"""Degrees by which positions may be off against the direction of motion, likewise."""
_LATE: Final = 0.002
"""Seconds by which positions may be late, likewise: six servos are read in a few milliseconds."""


def covariance(linear: Linearised, stretches: Sequence[Stretch], joint: int) -> tuple[NDArray[np.float64], int]:
    """Covariance of a joint's parameters, and the number of clusters that it was estimated from.

    Args:
        linear: The joint's errors where the search has ended.
        stretches: What was fitted.
        joint: Number of the joint.
    """
    size = linear.slopes[0].shape[1]
    curvature: NDArray[np.float64] = np.zeros((size, size))
    clusters: dict[tuple[str, int], Vector] = {}
    systematic = np.zeros((3, size))
    by_motion = len({stretch.source for stretch in stretches}) >= _MANY
    for stretch, left, slopes, weight in zip(stretches, linear.residuals, linear.slopes, linear.weights, strict=True):
        if not len(left):
            continue
        curvature = curvature + weight * slopes.T @ slopes
        speed = np.gradient(stretch.motion.positions[:, joint], stretch.motion.times)[stretch.warm_up :]
        off = np.stack([np.full(len(left), _OFFSET), _HYSTERESIS * np.sign(speed), _LATE * speed])
        systematic += weight * off @ slopes
        blocks: NDArray[np.int_] = np.zeros(len(left), int)
        if not by_motion:
            blocks = (stretch.motion.times[stretch.warm_up :] // _BLOCK).astype(int)
        for block in np.unique(blocks):
            rows = blocks == block
            pull = weight * slopes[rows].T @ left[rows]
            key = stretch.source, int(block)
            clusters[key] = clusters.get(key, np.zeros(size)) + pull
    inverse = np.linalg.pinv(curvature)
    pulls = np.stack(list(clusters.values()))
    count = len(clusters)
    scatter = pulls.T @ pulls * (count / max(count - 1, 1)) + systematic.T @ systematic
    return inverse @ scatter @ inverse, count


def intervals(
    names: Sequence[str], values: dict[str, float], linear: Linearised, stretches: Sequence[Stretch], joint: int
) -> dict[str, Interval]:
    """95 % intervals of `kp`, `damping`, `frictionloss` and `torque_limit`, of those that depend on what was fitted.

    Args:
        names: The joint's fitted parameters, in the order of the slopes.
        values: All its parameters.
        linear: Its errors where the search has ended.
        stretches: What was fitted.
        joint: Number of the joint.
    """
    spread, count = covariance(linear, stretches, joint)
    factor = float(student.ppf(0.5 + _CONFIDENCE / 2, max(count - 1, 1)))
    kp = math.exp(values[STIFFNESS])

    def width(gradient: dict[str, float]) -> float:
        direction = np.array([gradient.get(name, 0.0) for name in names])
        return factor * math.sqrt(max(float(direction @ spread @ direction), 0.0))

    found: dict[str, Interval] = {}
    for name, field in ((STIFFNESS, "kp"), (LIMIT, "torque_limit")):
        if name in names:
            ratio = math.exp(min(width({name: 1.0}), 50.0))
            middle = math.exp(values[name])
            found[field] = middle / ratio, middle * ratio
    for name, field in ((LAG, "damping"), (STICKING, "frictionloss")):
        if name in names:
            middle = values[name] * kp
            half = width({name: kp, STIFFNESS: middle})
            found[field] = max(middle - half, 0.0), middle + half
    return found
