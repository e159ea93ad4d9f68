"""Honest numbers about success rates: pure functions, each with its source, and randomness from an explicit `rng`.

`proportions` has intervals of one rate, `paired` compares two policies on shared episodes, `bootstrap` and `means`
make intervals of means over axes, `power` says what a number of episodes can show, `multiple` corrects for many
comparisons, and `sequential` says when to stop.
"""

from autoarm.statistics.bootstrap import cluster_bootstrap, paired_bootstrap, stratified_bootstrap
from autoarm.statistics.intervals import ConfidenceInterval, Estimate
from autoarm.statistics.means import mean_paired_difference, mean_rate
from autoarm.statistics.multiple import holm
from autoarm.statistics.paired import McNemarTest, mcnemar_exact, paired_difference
from autoarm.statistics.power import detectable_difference, paired_detectable_difference, paired_power
from autoarm.statistics.proportions import clopper_pearson_interval, wilson_interval
from autoarm.statistics.sequential import SequentialTest, sequential_comparison

__all__ = [
    "ConfidenceInterval",
    "Estimate",
    "McNemarTest",
    "SequentialTest",
    "clopper_pearson_interval",
    "cluster_bootstrap",
    "detectable_difference",
    "holm",
    "mcnemar_exact",
    "mean_paired_difference",
    "mean_rate",
    "paired_bootstrap",
    "paired_detectable_difference",
    "paired_difference",
    "paired_power",
    "sequential_comparison",
    "stratified_bootstrap",
    "wilson_interval",
]
