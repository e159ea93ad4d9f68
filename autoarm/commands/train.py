"""`autoarm train`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import tyro

from autoarm.commands.arguments import DatasetFolders
from autoarm.commands.next_step import next_step
from gym_autoarm.errors import InvalidFileError

if TYPE_CHECKING:
    from gym_autoarm.sampling import SceneDistribution

_VALIDATION: Final = 20_000
"""Seed of the measurements' scenes: none of the README's or of the docs'."""


@dataclass
class Train:
    """Train a policy on a collected dataset; run again to continue after a stop.

    The policy is LeRobot's ACT, or its Diffusion Policy.

    Example: autoarm train outputs/five-spots --out outputs/act-five-spots
    """

    dataset: tyro.conf.Positional[DatasetFolders]
    """Folder of the dataset, or folders of several that are learnt from together."""
    out: Path
    """Folder of the run; the policy lands in its `pretrained_model`."""
    preset: Literal["cpu", "cpu-diffusion", "full", "full-fast"] = "cpu"
    """`cpu`: 96x128 frames and a small transformer, minutes on two cores. `cpu-diffusion`: LeRobot's Diffusion Policy
    on a `--backbone`. `full`: LeRobot's defaults of ACT at 480x640. `full-fast`: the same network in two phases."""
    backbone: Path | None = None
    """Folder of a backbone that `autoarm pretrain` or `autoarm distil` made: it is left as it is, and only the
    transformer is trained."""
    train_backbone: bool = False
    """With --backbone: begin with it, and train it as the preset trains one that begins at random."""
    steps: tuple[int, ...] = ()
    """Optimiser steps of each phase, instead of the preset's."""
    batch_size: tuple[int, ...] = ()
    """Samples a step in each phase, instead of the preset's."""
    policy: Annotated[dict[str, str], tyro.conf.arg(metavar="FIELD VALUE")] = field(default_factory=dict)
    """Fields of LeRobot's configuration, instead of the preset's, such as `--policy chunk_size 100`."""
    image_size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH")] = None
    """Size that frames are resized to, instead of the preset's."""
    cameras: tuple[Literal["top", "lateral"], ...] | None = None
    """Cameras that the policy sees."""
    state: bool = True
    """Whether the policy is given the joints' positions."""
    relative_actions: bool = False
    """Whether it learns where to go from where the joints are when it looks. For this project's commands: LeRobot's own
    would add where the joints are later on."""
    shares: tuple[float, ...] = ()
    """With several datasets: weight of each among the samples, such as 3 1; by default that of its size."""
    demonstrations: int | None = None
    """How many of the dataset's episodes to learn from, evenly spread over it; all by default."""
    shift: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Augmentation, here and below instead of the preset's: largest shift of an image."""
    colour: Annotated[float | None, tyro.conf.arg(metavar="SHARE")] = None
    """Augmentation: largest relative change of brightness, contrast and colour."""
    image_noise: float | None = None
    """Augmentation: standard deviation of the noise on pixels, of the full range."""
    state_noise: float | None = None
    """Augmentation: standard deviation of the noise on the joints, in the dataset's standard deviations."""
    state_dropout: float | None = None
    """Augmentation: share of the samples that hide the joints' positions."""
    feature_noise: float | None = None
    """Augmentation: standard deviation of the noise on the backbone's feature maps, in their standard deviations."""
    repaint: float | None = None
    """Augmentation: share of the images in which what stands still gets other colours and a texture."""
    recolour: float | None = None
    """Augmentation: how far colour channels are mixed."""
    light: float | None = None
    """Augmentation: strength of a smooth field of light."""
    warp: float | None = None
    """Augmentation: largest displacement of an image's corners, as a share of half its width."""
    blur: float | None = None
    """Augmentation: share of the images that are blurred."""
    views: int | None = None
    """Maps kept of each frame while the backbone is frozen: one as it is, the others changed as the images are."""
    average: Annotated[float | None, tyro.conf.arg(metavar="DECAY")] = None
    """The checkpoint holds a moving average of the weights, of which so much remains after a step, such as 0.999."""
    seed: int = 0
    """Random seed of the weights and of the order of the samples."""
    device: str = "auto"
    """Torch device, such as cpu or cuda."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass: bfloat16 where the device is quick in it, by default."""
    compile_mode: Literal["off", "default", "reduce-overhead"] = "off"
    """How torch compiles the network, which takes minutes before the first step: `default` joins kernels,
    `reduce-overhead` also launches them together."""
    eval_every: Annotated[int | None, tyro.conf.arg(metavar="STEPS")] = None
    """Measure the checkpoint in simulation every so many steps, on scenes that no suite has: `success.png` shows how it
    went, and `best_model` is the checkpoint with most successes."""
    eval_episodes: int = 25
    """Episodes of each of these measurements."""
    eval_cube: Literal["spots", "everywhere"] = "spots"
    """Where the cube lies in them: at the five spots, or anywhere in the area of the first dataset."""
    save_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 500
    """Steps between checkpoints."""

    def run(self) -> int:
        """Train and say where the policy is."""
        # Read once, when torch loads. Threads that spin while they wait for each other make a step ten times slower as
        # soon as anything else wants a core.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from autoarm.training.config import Augmentation
        from autoarm.training.devices import find_device
        from autoarm.training.precision import fast_dtype
        from autoarm.training.presets import preset
        from autoarm.training.run import train

        device = find_device(self.device)
        config = preset(
            self.preset,
            self.steps,
            self.batch_size,
            policy=self.policy,
            image_size=self.image_size,
            cameras=self.cameras,
            state=self.state,
            relative_actions=self.relative_actions,
            demonstrations=self.demonstrations,
            views=self.views,
            augmentation={each.name: getattr(self, each.name) for each in fields(Augmentation)},
            seed=self.seed,
            shares=self.shares,
            average=self.average,
            dtype=fast_dtype(device) if self.dtype == "auto" else self.dtype,
        )
        folder = train(
            self.dataset,
            self.out,
            config,
            device,
            self.save_every,
            backbone=self.backbone,
            train_backbone=self.train_backbone,
            measure=None if self.eval_every is None else self._measure,
            measure_every=self.eval_every or 0,
            compile_mode=self.compile_mode,
            command=["autoarm", *sys.argv[1:]],
        )
        print(f"policy: {folder}")
        next_step("bench", self.out, "--suite", "five-spots-v2", "--size", "quick", "--out", f"{self.out}.json")
        return 0

    def _measure(self, checkpoint: Path) -> tuple[int, int]:
        from autoarm.evaluation.evaluate import evaluate

        overall = evaluate(
            str(checkpoint),
            distribution=replace(scenes_of(self.dataset[0]), cube=self.eval_cube),
            episodes=self.eval_episodes,
            seed=_VALIDATION,
            device="cpu" if self.device == "auto" else self.device,
        ).overall
        print(f"success: {overall.successes} of {overall.episodes}", flush=True)
        return overall.successes, overall.episodes


def scenes_of(dataset: Path) -> SceneDistribution:
    """How the scenes of a dataset were drawn, or the usual scenes where it does not say."""
    from autoarm.data.dataset import read_collection
    from gym_autoarm.sampling import SceneDistribution

    try:
        return read_collection(dataset).settings.distribution
    except InvalidFileError:
        return SceneDistribution()
