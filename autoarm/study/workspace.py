"""What a study needs, made at first use: demonstrations, a backbone, policies, and scenes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.evaluation.rollout import Rollout
from autoarm.study.plan import Demonstrations, Effort, Place, Point, Stage, Study, nearest_other, nearest_spot
from autoarm.suite.episodes import Episode
from gym_autoarm import spec
from gym_autoarm.body_files import load_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene

if TYPE_CHECKING:
    from autoarm.interp.observations.dataset_sample import DatasetSample
    from autoarm.interp.observations.rendered import RenderedFrames
    from autoarm.policies.lerobot import LeRobotPolicy
    from autoarm.policies.protocol import Policy
    from autoarm.training.config import TrainConfig

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FINETUNING: Final = "finetuning"
"""Name of the dataset with demonstrations at the new positions."""
_YAW: Final = 20.0
"""Largest turn of the cube in the scenes of probes, degrees, either way."""
_START_NOISE: Final = 1.15
"""Standard deviation of the joints' positions around home, degrees, as at a usual reset."""


@dataclass(frozen=True, eq=False)
class PairedObservations:
    """Frames with the cube at every held-out position and spot, the arm at home, and which two make a pair.

    Attributes:
        frames: An observation for each point.
        points: Cube positions, metres.
        position: Index of the position asked about, `(pair,)`.
        nearest: Index of the spot nearest to it; for a spot, of the nearest other one, `(pair,)`.
        places: Whether each `position` lies inside the hull of the spots, outside it, or is a spot (`trained`).
    """

    frames: RenderedFrames
    points: list[Point]
    position: Integers
    nearest: Integers
    places: list[Place]

    @property
    def distance(self) -> Floats:
        """Distance from `position` to `nearest`, metres, `(pair,)`."""
        points = np.asarray(self.points)
        return np.asarray(np.linalg.norm(points[self.position] - points[self.nearest], axis=1), np.float64)


@dataclass
class Workspace:
    """The folder of a study's datasets, backbone and policies, which are made when they are first needed.

    Attributes:
        study: The study.
        effort: Amount of work.
        folder: Folder for datasets, backbone and policies.
        workers: Processes for recording and for the scenes of pretraining.
        say: Called with a message before something is made.
        cache: What a stage keeps for the next policy, by name.
    """

    study: Study
    effort: Effort
    folder: Path
    workers: int = 1
    say: Callable[[str], None] = field(default=lambda _: None)
    cache: dict[str, Any] = field(default_factory=dict)
    _observations: dict[str, PairedObservations] = field(default_factory=dict)
    _scenes: dict[str, RenderedFrames] = field(default_factory=dict)
    _loaded: tuple[Path, LeRobotPolicy] | None = None

    # -- Data --------------------------------------------------------------------------------------------------------

    def demonstrations(self, name: str) -> Demonstrations:
        """Seed, spots and number of episodes of a dataset, scaled to the effort."""
        if name == FINETUNING:
            plan = self.study.finetuning
            count = math.ceil(plan.most_demonstrations / len(plan.tuned))
            wanted = Demonstrations(seed=plan.seed, episodes_per_spot=count, spots=plan.tuned)
        else:
            wanted = self.study.datasets[name]
        count = max(1, round(wanted.episodes_per_spot * self.effort.demonstrations))
        return wanted.model_copy(update={"episodes_per_spot": count})

    def dataset(self, name: str) -> Path:
        """Folder of a dataset, which is recorded if it is missing."""
        from autoarm.data.collect import collect

        wanted = self.demonstrations(name)
        out = self.folder / "datasets" / name
        if not out.is_dir():
            self.say(f"recording {len(wanted.spots) * wanted.episodes_per_spot} demonstrations: {name}")
        return collect(
            out,
            spots=[spot_name(point) for point in wanted.spots],
            episodes_per_spot=wanted.episodes_per_spot,
            seed=wanted.seed,
            image_size=self.effort.image_size,
            order=self.study.order,
            workers=self.workers,
            base=self.base,
        ).folder

    @cached_property
    def base(self) -> Scene:
        """The scene that differs from episode to episode in the cube alone."""
        return Scene(body=load_body(self.study.body))

    def sample(self, policy: LeRobotPolicy, dataset: str) -> DatasetSample:
        """Frames of a dataset, evenly spread over its episodes."""
        from autoarm.interp.observations.dataset_sample import sample_dataset

        return sample_dataset(policy, self.dataset(dataset), self.effort.frames)

    # -- Policies ----------------------------------------------------------------------------------------------------

    @cached_property
    def backbone(self) -> Path:
        """Folder of the pretrained backbone, which is trained if it is missing."""
        from autoarm.training.backbone import WEIGHTS
        from autoarm.training.config import Phase
        from autoarm.training.presets import CPU
        from autoarm.training.pretraining import PretrainConfig, pretrain
        from autoarm.training.scenes import Scenes

        out = self.folder / "backbone"
        if not (out / WEIGHTS).is_file():
            plan = self.study.pretraining
            self.say(f"pretraining a backbone on {plan.scenes} scenes")
            scenes = Scenes(
                max(40, round(plan.scenes * self.effort.steps)), plan.moments, seed=plan.seed, body=self.study.body
            )
            phase = Phase(steps=max(2, round(plan.steps * self.effort.steps)), learning_rate=5e-4)
            size = self.effort.frame_size or CPU.image_size
            pretrain(out, PretrainConfig(scenes, size, phase, plan.seed), self.workers)
        return out

    def config(self, name: str, seed: int) -> TrainConfig:
        """Training configuration of a recipe."""
        from autoarm.training.config import Phase
        from autoarm.training.presets import CPU, preset

        recipe = self.study.arms[name]
        phases = [phase.steps for phase in CPU.phases]
        if recipe.steps is not None:
            phases[-1] = recipe.steps
        steps = [max(1, round(each * self.effort.steps)) for each in phases]
        fields = {**recipe.policy, **self.effort.policy}
        count = recipe.demonstrations and max(1, round(recipe.demonstrations * self.effort.demonstrations))
        config = preset(
            "cpu",
            steps,
            policy=fields,
            augmentation={"state_dropout": recipe.state_dropout},
            image_size=self.effort.frame_size,
            demonstrations=count,
            seed=seed,
        )
        if recipe.backbone == "untrained":
            # One step with learning rate 0: initialised and calibrated like the others, but not trained.
            config = replace(config, phases=(Phase(steps=1, learning_rate=0.0, warmup=0),))
        return config

    @property
    def chunk(self) -> int:
        """Number of actions in a chunk."""
        from autoarm.training.presets import CPU

        return int(self.effort.policy.get("chunk_size", CPU.policy["chunk_size"]))

    def checkpoint(self, name: str, seed: int) -> Path:
        """Folder of a policy's checkpoint; training starts if it is missing, and goes on if it was interrupted."""
        from filelock import FileLock

        from autoarm.training.checkpoint import POLICY_FOLDER, STATE_FOLDER
        from autoarm.training.run import train

        recipe = self.study.arms[name]
        out = self.folder / "policies" / f"{name}-{seed}"
        out.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may need the same missing policy.
        with FileLock(out.with_name(f"{out.name}.lock")):
            if (out / POLICY_FOLDER / "model.safetensors").is_file() and (out / _DONE).is_file():
                return out / POLICY_FOLDER
            backbone = self.backbone if recipe.backbone == "pretrained" else None
            dataset = self.dataset(recipe.dataset)
            self.say(f"training {name}, seed {seed}")
            folder = train(dataset, out, self.config(name, seed), device="cpu", quiet=True, backbone=backbone)
            shutil.rmtree(out / STATE_FOLDER)  # what continues a run: three times the weights
            (out / _DONE).touch()
            return folder

    def prepare(self, name: str, stage: Stage) -> None:
        """Make the datasets and backbone that a recipe or control needs, before several processes start."""
        if stage == "finetune":
            self.dataset(FINETUNING)
        control = self.study.controls.get(name)
        if control is not None:
            self.dataset(control.dataset)
            return
        recipe = self.study.arms[name]
        self.dataset(recipe.dataset)
        if recipe.backbone == "pretrained":
            _ = self.backbone

    def policy(self, name: str, seed: int) -> LeRobotPolicy:
        """Load a policy; the last one stays in memory."""
        from autoarm.policies.lerobot import LeRobotPolicy

        folder = self.checkpoint(name, seed)
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = folder, LeRobotPolicy(folder, "cpu", self.effort.image_size)
        return self._loaded[1]

    def untrained_counterpart(self, name: str) -> str | None:
        """The untrained recipe that a trained one is compared with, if there is one."""
        untrained = [key for key, other in self.study.arms.items() if other.backbone == "untrained"]
        return next(iter(untrained), None) if name not in untrained else None

    # -- Scenes ------------------------------------------------------------------------------------------------------

    def paired_observations(self, dataset: str) -> PairedObservations:
        """Observations at the held-out positions and spots of a dataset, rendered once."""
        if dataset not in self._observations:
            from autoarm.interp.observations.rendered import rendered_frames

            spots = list(self.study.datasets[dataset].spots)
            held = self.study.held_out(dataset)
            points = [*(point for point, _ in held), *spots]
            pairs: list[tuple[Point, Point, Place]] = [(point, nearest_spot(point, spots), at) for point, at in held]
            if len(spots) > 1:
                pairs += [(spot, nearest_other(spot, spots), "trained") for spot in spots]
            self._observations[dataset] = PairedObservations(
                rendered_frames(points, image_size=self.effort.image_size, scene=self.base),
                points,
                np.array([points.index(here) for here, _, _ in pairs]),
                np.array([points.index(there) for _, there, _ in pairs]),
                [place for _, _, place in pairs],
            )
        return self._observations[dataset]

    def scenes(self, dataset: str) -> tuple[RenderedFrames, Floats]:
        """Frames with turned cubes away from a dataset's spots, the arm near home; and the turns, degrees `(n, 1)`."""
        from autoarm.interp.observations.rendered import rendered_frames
        from gym_autoarm.scene import HOME

        spots = self.study.datasets[dataset].spots
        rng = stream(0, self.study.name, "scenes", dataset)
        points: list[Point] = []
        (x_low, x_high), (y_low, y_high) = spec.WORK_AREA
        while len(points) < self.effort.scenes:
            point = float(rng.uniform(x_low, x_high)), float(rng.uniform(y_low, y_high))
            if math.dist(point, nearest_spot(point, spots)) >= self.study.clearance:
                points.append(point)
        yaws = rng.uniform(-_YAW, _YAW, len(points))
        starts = np.asarray(HOME) + rng.normal(0.0, _START_NOISE, (len(points), len(HOME)))
        if dataset not in self._scenes:
            starts = np.clip(starts, spec.ACTION_LOW, spec.ACTION_HIGH)
            self._scenes[dataset] = rendered_frames(points, starts, yaws, self.effort.image_size, self.base)
        return self._scenes[dataset], np.asarray(yaws[:, None], np.float64)

    def episodes(self, place: str, points: list[Point], count: int) -> list[Episode]:
        """Episodes with the cube near each of the points in turn, the same for every policy."""
        if not points:
            raise InvalidInputError("no position", field=place, cure="give at least one")
        distribution = SceneDistribution(base=self.base)
        found = []
        for index in range(count):
            seed = int(stream(0, self.study.name, "episode", place, index).integers(2**32))
            scene = distribution.sample(seed, spot_name(points[index % len(points)]))
            found.append(Episode(place, index, seed, scene))
        return found

    def rollouts(self, policy: Policy, episodes: list[Episode]) -> list[Rollout]:
        """Run episodes, in this process: units of work already run in parallel."""
        from autoarm.evaluation.engine import run_episodes
        from autoarm.evaluation.source import PolicySource

        source = PolicySource(policy, image_size=self.effort.image_size, time_limit=self.effort.time_limit)
        return list(run_episodes(source, policy, episodes))

    def successes(self, policy: Policy, episodes: list[Episode]) -> list[bool]:
        """Whether each episode ended with the cube in the box."""
        return [done.row.success for done in self.rollouts(policy, episodes)]


_DONE: Final = "trained"
"""File that marks a finished training run: an unfinished one has checkpoints too."""


def spot_name(point: Point) -> str:
    """A position as `gym_autoarm.sampling.spot_position` reads it: its name if it has one, else `x:y`."""
    names = {place: name for name, place in spec.SPOTS.items()}
    return names.get(point, f"{point[0]:g}:{point[1]:g}")
