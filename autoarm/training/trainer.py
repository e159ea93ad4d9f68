"""The training loop."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.data.dataset import IMAGES, STATE
from autoarm.data.frames import cache_root
from autoarm.policies.trained_on import TrainedOn
from autoarm.runtime.files import check_replaceable, write_text
from autoarm.training import checkpoint
from autoarm.training.augment import augment_images, augment_maps, augment_state
from autoarm.training.averaging import WeightAverage
from autoarm.training.backbone import load_into
from autoarm.training.calibration import calibrate_batch_norm
from autoarm.training.compiling import Compile, compiled
from autoarm.training.config import Phase, TrainConfig
from autoarm.training.data import ChunkDataset
from autoarm.training.devices import device_name
from autoarm.training.features import (
    FeatureMaps,
    backbone_of,
    cached_feature_maps,
    feature_maps,
    images_are_feature_maps,
)
from autoarm.training.folding import folded_batch_norm
from autoarm.training.lean import lean_transformer
from autoarm.training.new_policy import new_policy, policy_config
from autoarm.training.processors import Pipelines, make_processors
from autoarm.training.rows import Rows
from autoarm.training.sampling import BatchSampler, MixedSampler, Sampler
from autoarm.training.schedule import Progress, learning_rate
from gym_autoarm.errors import InvalidFileError, InvalidInputError

_CALIBRATION_BATCHES = 8
_CALIBRATION_BATCH = 32
_REPORT_EVERY = 10
"""Steps between two reports of progress."""


class Trainer:
    """One training run.

    Args:
        config: What decides the weights.
        data: Demonstrations, with chunks as long as the policy's.
        stats: Statistics of the dataset, as LeRobot keeps them.
        out: Folder of the run.
        dataset_digest: Digest of the dataset: a run is only continued on the same data.
        device: Torch device.
        backbone: Weights that the backbone starts from; `config` names their digest.
        command: The command line, for the record.
        backbone_made_by: Where `backbone` comes from, for the record.
        trained_on: What checkpoints say they were trained on.
        compile_mode: How the network is compiled; see `autoarm.training.compiling`.
        step_bytes: Memory that a step needs: frames and feature maps are kept on a GPU where they leave that much.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ChunkDataset,
        stats: dict[str, Any],
        out: Path,
        dataset_digest: str,
        device: str = "cpu",
        backbone: dict[str, Tensor] | None = None,
        command: Sequence[str] = (),
        backbone_made_by: str | None = None,
        trained_on: TrainedOn | None = None,
        compile_mode: Compile = "off",
        step_bytes: int = 0,
    ) -> None:
        self._config, self._out, self._device = config, out, torch.device(device)
        self._data = data.to(self._device)
        self._compile_mode, self._step_bytes = compile_mode, step_bytes
        self._dataset_digest, self._command, self._backbone_made_by = dataset_digest, list(command), backbone_made_by
        self._trained_on = trained_on
        self._identity = {"config": config.plain(), "dataset": dataset_digest}
        self._seconds = self._check_folder()
        torch.manual_seed(config.seed)
        self.policy = new_policy(policy_config(config, device)).to(self._device)
        self._backbone = backbone_of(self.policy)
        # Convolutions on a CPU with bfloat16 are fastest with the channels innermost, which is how frames arrive.
        self._backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.relative_actions:
            stats = {**stats, "action": data.relative_action_stats()}
        self.processors: Pipelines = make_processors(
            self.policy.config, stats, config.image_size, config.relative_actions
        )
        self._samplers: dict[int, Sampler] = {}
        repainted = config.cameras if config.augmentation.repaint else ()
        self._backgrounds = {IMAGES[camera]: data.background(camera) for camera in repainted}
        self._maps: Rows | None = None
        self._rates: dict[int, list[float]] = {}
        if backbone is not None:
            load_into(self._backbone, backbone)
        state = self._out / checkpoint.STATE_FOLDER
        self.step = checkpoint.saved_step(state) if state.exists() else 0
        self._optimizer = self._make_optimizer()
        self._average = None if config.average is None else WeightAverage(self.policy, config.average)
        if state.exists():
            # The moments of a finished phase are of no use to the next.
            fresh = config.phase_at(self.step)[1] == self.step
            checkpoint.load_state(state, self.policy, None if fresh else self._optimizer, self._average)
        elif config.calibrate:
            self._calibrate()

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self._config.steps

    def run(
        self,
        progress: Callable[[Progress], None] | None = None,
        save_every: int = 500,
        until: int | None = None,
        computed: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Train to the end, or to step `until`, saving the state on the way. Returns the checkpoint folder.

        Args:
            progress: Called every ten steps.
            save_every: Steps between checkpoints; the end of a phase is one, too.
            until: Step to stop at.
            computed: Called while the feature maps of a frozen backbone are computed, with frames done and in all.
        """
        self.policy.train()
        if self._device.type == "cuda":
            # Batches are of one size: the quickest convolution is looked for once.
            torch.backends.cudnn.benchmark = True
        self._clock = time.perf_counter()
        last = min(self._config.steps, until or self._config.steps)
        while self.step < last:
            phase, first = self._config.phase_at(self.step)
            frozen = phase.backbone == "frozen"
            self._backbone.requires_grad_(not frozen).train(not frozen)
            if self.step == first:
                self.policy.zero_grad(set_to_none=True)  # what the last phase left would count towards the norm
                self._optimizer = self._make_optimizer()
            if frozen:
                # Each frame is looked at once for its map, if at all: moving them all would gain nothing.
                self._maps = self._feature_maps(phase.views, computed)
                for rows in self._data.frames.values():
                    rows.let_go()
                self._keep(self._maps)
            else:
                self._maps = None
                self._keep(*self._data.frames.values())
            with (
                folded_batch_norm(self._backbone),
                lean_transformer(self.policy),
                compiled(self.policy, self._compile_mode),
            ):
                self._loop(phase, first, min(last, first + phase.steps), progress, save_every)
        self._backbone.requires_grad_(True)
        return self._out / checkpoint.POLICY_FOLDER

    def _loop(
        self, phase: Phase, first: int, last: int, progress: Callable[[Progress], None] | None, save_every: int
    ) -> None:
        clock, mark = time.perf_counter(), self.step
        while self.step < last:
            loss = self._step(phase, first)
            if not math.isfinite(loss):
                raise InvalidInputError(
                    f"the loss became {loss} at step {self.step}", field="learning_rate", cure="lower it"
                )
            if self._average is not None:
                self._average.update(self.step - first)
            self.step += 1
            if self._average is not None and self.step == first + phase.steps:
                self._average.adopt()  # what comes next builds on it
            if self.step % _REPORT_EVERY == 0 or self.step == last:
                now = time.perf_counter()
                rate = (self.step - mark) * phase.batch_size / (now - clock)
                self._rates.setdefault(first, []).append(rate)
                if progress is not None:
                    progress(Progress(self.step, self._config.steps, loss, rate))
                clock, mark = now, self.step
            if self.step % save_every == 0 or self.step == last:
                self.save()

    def save(self) -> None:
        """Write the checkpoint folder and the state that continues from here."""
        now = time.perf_counter()
        self._seconds, self._clock = self._seconds + now - self._clock, now
        record = {
            **self._identity,
            "step": self.step,
            "seconds": round(self._seconds, 1),
            "samples_per_second": [_median(self._rates.get(first)) for first in self._config.first_steps],
            "device": device_name(self._device),
            "threads": torch.get_num_threads(),
            "command": self._command,
            "backbone_made_by": self._backbone_made_by,
        }
        write_text(self._out / checkpoint.RECORD, json.dumps(record, indent=1) + "\n")
        checkpoint.save_state(
            self._out / checkpoint.STATE_FOLDER, self.step, self.policy.state_dict(), self._optimizer, self._average
        )
        with nullcontext() if self._average is None else self._average.in_place():
            checkpoint.save_policy(self._out / checkpoint.POLICY_FOLDER, self.policy, self.processors, self._trained_on)

    def _step(self, phase: Phase, first: int) -> float:
        rate = learning_rate(self.step - first, phase)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if first not in self._samplers:
            self._samplers[first] = self._sampler(phase.batch_size)
        sampler, within = self._samplers[first], self.step - first
        indices = sampler.batch(within)
        enabled = self._config.dtype == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled):
            batch = self._batch(indices)
            with images_are_feature_maps(self.policy):
                loss, _ = self.policy.forward(batch)
        if self._maps is None and self._device.type == "cuda":
            following = sampler.batch(within + 1)
            for rows in self._data.frames.values():
                rows.ahead(following)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self._config.clip)
        self._optimizer.step()
        return float(loss.detach())

    def _sampler(self, batch_size: int) -> Sampler:
        if self._config.shares:
            return MixedSampler(self._data.dataset_sizes, self._config.shares, batch_size, self._config.seed)
        return BatchSampler(len(self._data), batch_size, self._config.seed)

    def _batch(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Normalised joints, and feature maps under the cameras' names."""
        keys = list(self.policy.config.image_features)
        batch: dict[str, Tensor] = self.processors[0](self._data.joints(indices))
        batch[STATE] = augment_state(batch[STATE], self._config.augmentation)
        if self.policy.config.observation_delta_indices is not None:
            batch[STATE] = batch[STATE][:, None]  # a history, of one observation
        if self._maps is None:
            maps = feature_maps(self._backbone, self._images(indices, augment=True))
        else:
            views = len(self._maps) // len(self._data)
            view = torch.randint(views, (len(indices),)).numpy() if views > 1 else 0
            maps = list(self._maps[indices + view * len(self._data)].float().unbind(1))
        maps = augment_maps(maps, self._config.augmentation)
        return {**batch, **dict(zip(keys, maps, strict=True))}

    def _images(self, indices: NDArray[np.int64], augment: bool = False) -> list[Tensor]:
        """Normalised images of each camera."""
        images = self._data.images(indices)
        if augment and self._config.augmentation.changes_images:
            options, backgrounds = self._config.augmentation, self._backgrounds
            images = {key: augment_images(value, options, backgrounds.get(key)) for key, value in images.items()}
        batch = self.processors[0](images)
        return [batch[key] for key in self.policy.config.image_features]

    def _keep(self, *arrays: Rows) -> None:
        """Keep rows in a GPU's memory as long as they leave room for a step."""
        for rows in arrays:
            if self._device.type == "cuda" and not rows.are_kept:
                free, _ = torch.cuda.mem_get_info(self._device)
                if rows.nbytes + self._step_bytes < free:
                    rows.keep()

    def _feature_maps(self, views: int, computed: Callable[[int, int], None] | None) -> Rows:
        maps = self._compute_maps(views, computed)
        return Rows(lambda rows: maps[rows], len(maps), self._device)

    def _compute_maps(self, views: int, computed: Callable[[int, int], None] | None) -> FeatureMaps:
        """Maps of all samples as they are, then of all of them again in each further view, changed at random."""
        count = len(self._data)

        def images(places: NDArray[np.int64]) -> list[Tensor]:
            return self._images(places % count, augment=bool(places[0] >= count))

        changes = f" {views} views, {self._config.augmentation}, seed {self._config.seed}" if views > 1 else ""
        stats = [step.state_dict() for step in self.processors[0].steps]
        digest = "".join(f"{key} {value.tolist()}" for each in stats for key, value in sorted(each.items()))
        # A run that finds its maps in the cache goes on with the same random numbers as one that makes them.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._config.seed)
            return cached_feature_maps(
                self._backbone,
                images,
                count,
                views,
                f"{self._dataset_digest} {self._config.image_size} {self._config.cameras} "
                f"{self._config.demonstrations} {digest}{changes}",
                cache_root() / "features",
                torch.bfloat16 if self._config.dtype == "bfloat16" else torch.float32,
                computed,
            )

    def _make_optimizer(self) -> torch.optim.AdamW:
        phase, _ = self._config.phase_at(self.step)
        self._backbone.requires_grad_(phase.backbone == "trained")
        learnt = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(learnt, lr=phase.learning_rate, weight_decay=self._config.weight_decay, fused=True)

    def _calibrate(self) -> None:
        def images() -> Any:
            sampler = BatchSampler(len(self._data), _CALIBRATION_BATCH, self._config.seed + 1)
            for step in range(_CALIBRATION_BATCHES):
                yield from self._images(sampler.batch(step))

        calibrate_batch_norm(self._backbone, images())

    def _check_folder(self) -> float:
        """Make sure that the folder is this run's or new. Returns the seconds that the run has taken so far."""
        check_replaceable(self._out, checkpoint.RECORD)
        path = self._out / checkpoint.RECORD
        if not path.exists():
            return 0.0
        try:
            found = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InvalidFileError(f"damaged: {error}", file=path, cure="choose another --out") from error
        for key, wanted in self._identity.items():
            if found.get(key) != json.loads(json.dumps(wanted)):
                raise InvalidFileError(
                    "the run in this folder was made with another one",
                    file=path,
                    field=key,
                    cure="choose another --out",
                )
        return float(found.get("seconds", 0.0))


def _median(rates: Sequence[float] | None) -> float | None:
    return None if rates is None else round(statistics.median(rates), 1)
