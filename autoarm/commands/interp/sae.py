"""`autoarm interp sae`."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName


@dataclass
class Sae:
    """Train a sparse autoencoder on what a policy computes at one place, and record its features.

    Beside it the same is trained on a policy with random weights and with a frozen decoder: what these do as well does
    not come of what the policy has learnt. The folder can be opened with `autoarm interp explore`.

    Example: autoarm interp sae act-five-spots outputs/demonstrations --site encoder.out --out outputs/sae
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder of LeRobot's ACT, or a shipped policy."""
    dataset: tyro.conf.Positional[DatasetFolder]
    """LeRobotDataset folder."""
    site: str = "encoder.out"
    """Whose activations; `autoarm interp sites` lists them."""
    out: Path = Path("outputs/sae")
    """Folder for all that comes of it."""
    kind: Literal["topk", "batchtopk", "jumprelu"] = "topk"
    """By which rule features are kept."""
    features: int = 512
    """How many there are to choose from."""
    k: int = 16
    """How many are there at a token."""
    samples: int = 400_000
    """Activations seen in training."""
    frames: int = 2000
    """Frames of the dataset, spread over its episodes."""
    controls: bool = True
    """Train the controls too."""
    episodes: int = 0
    """Episodes to act in simulation, with the reconstruction and without; none by default."""
    seed: int = 0
    """Random seed."""
    device: str = "cpu"
    """Torch device for the policy, such as cpu or cuda."""

    def run(self) -> int:
        """Train, measure, save, and print the numbers."""
        from autoarm.commands.interp.loading import load_act
        from autoarm.data.dataset import check_dataset
        from autoarm.interp.autoencoder.study import run_autoencoder
        from autoarm.interp.autoencoder.train import TrainOptions
        from autoarm.runtime.bars import Bars

        options = TrainOptions(self.kind, self.features, self.k, self.samples, seed=self.seed)
        info = check_dataset(self.dataset)
        policy = load_act(self.policy, self.device, info.image_size)
        with Bars(transient=True) as bar:
            tasks = {"": bar.add_task("looking at the dataset", total=None)}

            def advance(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done)

            metrics = run_autoencoder(
                policy,
                self.dataset,
                self.site,
                self.out,
                options,
                frames=self.frames,
                controls=self.controls,
                episodes=self.episodes,
                reference=self.policy,
                progress=advance,
            )
        for row in metrics["autoencoders"]:
            recovered = row["action_recovered"]
            action = f"; action loss recovered {recovered:.1%}" if isfinite(recovered) else ""
            print(
                f"{row['autoencoder']:<16} explains {row['explained_variance']:.1%} of the variance with"
                f" {row['l0']:.1f} features a token, {row['dead']:.0%} dead, {row['memorised']:.0%} memorised{action}"
            )
        if found := metrics.get("closed_loop"):
            clean, spliced = (
                f"{rate['successes']} of {rate['episodes']} ({rate['low']:.0%} to {rate['high']:.0%})"
                for rate in (found["clean"], found["spliced"])
            )
            print(f"in the box: {clean}, on reconstructions {spliced}; McNemar p = {found['mcnemar_p']:.2g}")
        print(f"look at the features: autoarm interp explore {self.out}")
        return 0
