"""Honest numbers about success rates: pure functions, each with its source, and randomness from an explicit `rng`.

`proportions` has the interval of one rate, `paired` compares two policies on shared episodes, `bootstrap` and `means`
make intervals of means over axes, `seeds` of means over a few training seeds, `power` says what a number of episodes
can show, `multiple` corrects for many comparisons, and `sequential` says when to stop.
"""

from autoarm.statistics.bootstrap import cluster_bootstrap, stratified_bootstrap
from autoarm.statistics.intervals import ConfidenceInterval, Estimate, wider
from autoarm.statistics.means import mean_paired_difference, mean_rate
from autoarm.statistics.multiple import holm
from autoarm.statistics.paired import McNemarTest, mcnemar_exact, paired_difference
from autoarm.statistics.power import paired_detectable_difference, paired_episodes, paired_power
from autoarm.statistics.proportions import wilson_interval
from autoarm.statistics.seeds import mean_over_seeds, rate_over_seeds
from autoarm.statistics.sequential import SequentialTest, sequential_comparison

__all__ = [
    "ConfidenceInterval",
    "Estimate",
    "McNemarTest",
    "SequentialTest",
    "cluster_bootstrap",
    "holm",
    "mcnemar_exact",
    "mean_over_seeds",
    "mean_paired_difference",
    "mean_rate",
    "paired_detectable_difference",
    "paired_difference",
    "paired_episodes",
    "paired_power",
    "rate_over_seeds",
    "sequential_comparison",
    "stratified_bootstrap",
    "wider",
    "wilson_interval",
]
