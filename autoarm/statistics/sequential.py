"""Compare two policies episode by episode, look after each, and stop as soon as the answer is clear."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln

from autoarm.statistics.intervals import check_share, paired


class SequentialTest(NamedTuple):
    """Result of a comparison after the episodes so far.

    Attributes:
        stopped: Number of the episode, from 1, after which the answer was clear; `None` while it is not.
        better: 1 or 2, the policy that had won more of the discordant episodes by then; `None` while it is not clear.
        p_value: Valid at any time, whatever made one look: `1 / max(evidence)`.
        evidence: The martingale after each episode, `(n,)`: how many times over a bet against equality has paid off.
    """

    stopped: int | None
    better: int | None
    p_value: float
    evidence: NDArray[np.float64]


def sequential_comparison(first: ArrayLike, second: ArrayLike, alpha: float = 0.05) -> SequentialTest:
    """Whether two policies differ on shared episodes, with leave to look after every one and to stop at will.

    If the policies are equally good, the episodes on which just one succeeds are fair coins, and the likelihood of
    their wins and losses under a coin of uniformly distributed bias, divided by that under a fair one, is a martingale
    that starts at 1. By Ville's inequality it ever reaches 1 / alpha with probability alpha at most. So unlike a
    p-value that is computed again after every episode, this one keeps its promise under continuous peeking. The price
    is some more episodes than a test whose length is fixed in advance. Episodes must come in an order that has nothing
    to do with the outcomes: shuffle those of a suite.

    Sources: J. Ville, "Étude critique de la notion de collectif" (1939); H. Robbins, "Statistical methods related to
    the law of the iterated logarithm", Annals of Mathematical Statistics 41 (1970), for the mixture; A. Ramdas,
    P. Grünwald, V. Vovk and G. Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
    Science 38 (2023).

    Args:
        first: Successes of one policy, booleans `(n,)`, in the order in which they came.
        second: Successes of the other on the same episodes, `(n,)`.
        alpha: Largest probability of a false alarm, ever.

    Raises:
        InvalidInputError: If the two do not pair up, or `alpha` is out of range.
    """
    one, other = paired(first, second)
    check_share(alpha, "alpha")
    wins, losses = np.cumsum(one > other), np.cumsum(other > one)
    log_evidence = betaln(1 + wins, 1 + losses) + (wins + losses) * np.log(2.0)
    evidence = np.exp(np.minimum(log_evidence, 700.0))  # where float64 ends, the answer has long been clear
    clear = np.flatnonzero(evidence >= 1 / alpha)
    p_value = float(min(1.0, 1 / evidence.max()))
    if not clear.size:
        return SequentialTest(None, None, p_value, evidence)
    end = int(clear[0])
    return SequentialTest(end + 1, 1 if wins[end] > losses[end] else 2, p_value, evidence)
