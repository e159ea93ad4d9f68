"""`autoarm interp ood`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName


@dataclass
class Ood:
    """Learn what a policy's training data looks like to it, and how well that tells other scenes from it.

    Writes a detector (npz) with a threshold from training episodes that it was not fitted to, and a table (CSV).

    Example: autoarm interp ood act-five-spots outputs/demonstrations --out outputs/ood
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder of LeRobot's ACT, or a shipped policy."""
    dataset: tyro.conf.Positional[DatasetFolder]
    """LeRobotDataset folder that it was trained on."""
    out: Path = Path("outputs/ood")
    """Folder for the detector and the table."""
    suite: str = "five-spots-v1"
    """Whose axes the other scenes are drawn from; a YAML file works too."""
    scenes: int = 20
    """Scenes of each axis; none leaves the table out."""
    sae: Path | None = None
    """Folder of `autoarm interp sae`, for its reconstruction error as a second score."""
    frames: int = 2000
    """Frames of the dataset, spread over its episodes."""
    quantile: float = 0.95
    """Part of the held-out training frames that pass for familiar."""
    seed: int = 0
    """Chooses the episodes that are held out."""
    device: str = "cpu"
    """Torch device, such as cpu or cuda."""

    def run(self) -> int:
        """Fit, save, and print how well it tells."""
        from rich.console import Console

        from autoarm.commands.interp.loading import load_act
        from autoarm.data.dataset import check_dataset
        from autoarm.interp.ood.detectors import run_ood

        with Console(stderr=True).status("looking at training data and at other scenes"):
            info = check_dataset(self.dataset)
            policy = load_act(self.policy, self.device, info.image_size)
            detector, rows = run_ood(
                policy,
                self.dataset,
                self.out,
                suite=self.suite if self.scenes else None,
                scenes=self.scenes,
                autoencoder=self.sae,
                frames=self.frames,
                quantile=self.quantile,
                seed=self.seed,
            )
        beyond = 1 - detector.quantile
        print(f"strange is what is farther than {detector.threshold:.1f}, as {beyond:.0%} of held-out frames are")
        for row in rows:
            print(f"{row['score']:<22} {row['scenes']:<14} {row['count']:>4} scenes   AUROC {row['auroc']:.2f}")
        print(f"data: {self.out}\nlive: autoarm eval {self.policy} --ood {self.out}")
        return 0
