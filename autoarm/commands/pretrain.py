"""`autoarm pretrain`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autoarm.commands.measured_scene import area_of
from autoarm.commands.next_step import next_step
from gym_autoarm.body_files import DEFAULT_BODY
from gym_autoarm.variation import check_variations


@dataclass
class Pretrain:
    """Make a backbone in simulation: render random scenes and learn to say where cube and gripper are.

    Interrupted, the same command goes on from there.

    Example: autoarm pretrain --out outputs/backbone --workers 2
    """

    out: Path
    """Folder for the backbone."""
    scenes: int = 3000
    """Scenes, of six frames each."""
    steps: int = 2500
    """Optimiser steps."""
    image_size: tuple[int, int] = (96, 128)
    """Height and width of the frames; the policy's."""
    area: tuple[float, float, float, float] | None = None
    """Bounds of x and of y, metres, between which the cubes lie; 0.15 0.27 -0.06 0.14 by default."""
    vary: tuple[str, ...] = ()
    """What else is drawn at random in every scene: `all`, or names as for `autoarm collect`."""
    colour: float = 0.0
    """Largest random change of brightness, contrast and colour of an image."""
    image_noise: float = 0.0
    """Standard deviation of the noise on pixels, of the full range."""
    workers: int = 1
    """Processes that render."""
    seed: int = 0
    """Random seed."""
    body: str = DEFAULT_BODY
    """How the arm answers: a name, or a file that `autoarm twin-check --fit` has written."""

    def run(self) -> int:
        """Render, train, and say how well it sees."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from dataclasses import replace

        from autoarm.commands.progress import show_training
        from autoarm.runtime.bars import Bars
        from autoarm.runtime.files import check_replaceable
        from autoarm.training.backbone import RECORD
        from autoarm.training.config import Augmentation
        from autoarm.training.pretraining import PretrainConfig, pretrain
        from autoarm.training.scenes import Scenes

        check_replaceable(self.out, RECORD)
        base = PretrainConfig()
        config = PretrainConfig(
            scenes=Scenes(
                count=self.scenes,
                seed=self.seed,
                body=self.body,
                area=area_of(self.area),
                vary=check_variations(self.vary),
            ),
            augmentation=Augmentation(colour=self.colour, image_noise=self.image_noise),
            image_size=self.image_size,
            training=replace(base.training, steps=self.steps),
            seed=self.seed,
        )
        with Bars() as bars:
            drawing = bars.add_task("render", total=self.scenes)
            training = bars.add_task("train", total=self.steps)

            def rendered(done: int, total: int) -> None:
                bars.update(drawing, completed=done)

            record = pretrain(self.out, config, self.workers, rendered, show_training(bars, training))
        errors = record["held_out"]
        print(f"backbone: {self.out} (held-out scenes: cube {errors['cube_mm']} mm, gripper {errors['grasp_mm']} mm)")
        next_step("train", "DATASET", "--backbone", self.out, "--out", "outputs/act")
        return 0
