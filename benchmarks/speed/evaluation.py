"""How many episodes a minute this project's evaluation runs, beside LeRobot's on the same episodes.

Run with `python benchmarks/speed/evaluation.py`. Both start from the same seeds, with the same policy, frames of the
same size and one process; starting up and loading is left out of both times. What is saved is drawing: a chunked
policy looks once a chunk, and only then a frame is needed. LeRobot films the first ten episodes of a run, which cannot
be switched off and is part of its time; hence more than ten. A second measurement is two processes beside one, once
they have loaded torch and the policy. Rounds take turns, and a ratio is the median over rounds, because others may use
the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from autoarm.evaluation.bench import bench
from autoarm.evaluation.engine import Progress, run_episodes
from autoarm.evaluation.source import PolicySource
from autoarm.policies.loading import shipped_policies
from autoarm.runtime.files import write_text
from autoarm.suite.episodes import Episode
from gym_autoarm.sampling import SceneDistribution


@dataclass(frozen=True)
class Options:
    """Compare evaluations.

    Example: python benchmarks/speed/evaluation.py --json evaluation.json
    """

    policy: str = "act-five-spots"
    """A shipped policy, or a checkpoint folder."""
    episodes: int = 20
    """Episodes of a round."""
    rounds: int = 3
    """How often everything is measured."""
    json: Path | None = None
    """File for the numbers."""


@dataclass(frozen=True)
class Measured:
    """Medians over rounds: episodes a minute and their ratio, how many ended alike, and two processes over one."""

    lerobot_per_minute: float
    autoarm_per_minute: float
    ratio: float
    same_outcome: int
    episodes: int
    two_processes_over_one: float


def lerobot_eval(folder: Path, seed: int, episodes: int) -> tuple[list[bool], float]:
    """Outcomes and seconds of `lerobot-eval`, one environment at a time, at the training spots."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            str(Path(sysconfig.get_path("scripts")) / "lerobot-eval"),
            f"--policy.path={folder}",
            "--policy.device=cpu",
            "--env.type=autoarm",
            "--env.discover_packages_path=autoarm.plugin",
            "--env.spots=five",
            f"--eval.n_episodes={episodes}",
            "--eval.batch_size=1",
            f"--seed={seed}",
            f"--output_dir={out}/eval",
        ]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        info: dict[str, Any] = json.loads(Path(out, "eval", "eval_info.json").read_text())
    task = info["per_task"][0]["metrics"]
    return [bool(success) for success in task["successes"]], float(info["overall"]["eval_s"])


def autoarm_eval(source: PolicySource, seed: int, episodes: int) -> tuple[list[bool], float]:
    """Outcomes and seconds of this project's evaluation, on the episodes that those seeds give."""
    distribution = SceneDistribution(cube="spots")
    planned = [Episode("all", i, seed + i, distribution.sample(seed + i)) for i in range(episodes)]
    policy = source.load()
    started = time.perf_counter()
    outcomes = [done.row.success for done in run_episodes(source, policy, planned)]
    return outcomes, time.perf_counter() - started


def bench_seconds(policy: str, workers: int, episodes: int) -> float:
    """Seconds from the first row to the last of the suite's axis of fresh episodes."""
    rows: list[float] = []

    def note(done: Progress) -> None:
        if done.row is not None:
            rows.append(time.perf_counter())

    bench(policy, axes=("fresh",), episodes=episodes, workers=workers, progress=note)
    return rows[-1] - rows[0]


def measure(options: Options) -> Measured:
    """All rounds."""
    folder = shipped_policies().get(options.policy, Path(options.policy))
    source = PolicySource(options.policy)
    theirs, ours, ratios, same, speedups = [], [], [], 0, []
    for number in range(options.rounds):
        seed = 1000 * (number + 1)
        outcomes, seconds = lerobot_eval(folder, seed, options.episodes)
        mine, own_seconds = autoarm_eval(source, seed, options.episodes)
        theirs.append(60 * options.episodes / seconds)
        ours.append(60 * options.episodes / own_seconds)
        ratios.append(seconds / own_seconds)
        same += sum(one == other for one, other in zip(outcomes, mine, strict=True))
        one, two = (bench_seconds(options.policy, workers, 5 * options.episodes) for workers in (1, 2))
        speedups.append(one / two)
    return Measured(
        lerobot_per_minute=round(statistics.median(theirs), 1),
        autoarm_per_minute=round(statistics.median(ours), 1),
        ratio=round(statistics.median(ratios), 1),
        same_outcome=same,
        episodes=options.rounds * options.episodes,
        two_processes_over_one=round(statistics.median(speedups), 2),
    )


def main() -> None:
    """Measure, print, and write the numbers."""
    options = tyro.cli(Options)
    text = json.dumps(asdict(measure(options)), indent=1)
    print(text)
    if options.json is not None:
        write_text(options.json, text + "\n")


if __name__ == "__main__":
    main()
