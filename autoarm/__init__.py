"""Record, train, evaluate and look inside policies for an SO-101 arm that puts a cube into a box.

Recording and training:

- `collect`: record the scripted expert as a LeRobotDataset.
- `train`: train a LeRobot policy on a dataset; `TrainConfig` holds the settings, `PRESETS` the recipes.
- `load_policy`: a checkpoint, a baseline or a class of your own, behind one protocol (`Policy`).

Measuring:

- `evaluate`: success on freshly drawn scenes. `bench`: success on a suite, axis by axis. Both return a `Result`.
- `load_suite`, `Suite`: what is measured. `verify`: run a result again. `compare`: two results, episode by episode.

What is inside a policy is in `autoarm.interp`, the environment in `gym_autoarm`, the real arm in `autoarm_hardware`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autoarm.data.collect import collect
    from autoarm.evaluation.bench import bench
    from autoarm.evaluation.compare import compare
    from autoarm.evaluation.evaluate import evaluate
    from autoarm.evaluation.verify import verify
    from autoarm.policies.loading import load_policy
    from autoarm.policies.protocol import Policy
    from autoarm.results.result import Result
    from autoarm.suite.suite import Suite, load_suite
    from autoarm.training.config import TrainConfig
    from autoarm.training.run import train

# Found when they are asked for: `import autoarm` stays quick, and nothing brings torch before it is needed.
_HOMES: Final = {
    "Policy": "autoarm.policies.protocol",
    "Result": "autoarm.results.result",
    "Suite": "autoarm.suite.suite",
    "TrainConfig": "autoarm.training.config",
    "bench": "autoarm.evaluation.bench",
    "collect": "autoarm.data.collect",
    "compare": "autoarm.evaluation.compare",
    "evaluate": "autoarm.evaluation.evaluate",
    "load_policy": "autoarm.policies.loading",
    "load_suite": "autoarm.suite.suite",
    "train": "autoarm.training.run",
    "verify": "autoarm.evaluation.verify",
}

__all__ = [
    "Policy",
    "Result",
    "Suite",
    "TrainConfig",
    "bench",
    "collect",
    "compare",
    "evaluate",
    "load_policy",
    "load_suite",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
