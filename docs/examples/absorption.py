"""By which tokens the arm's state reaches the action: its own, or the pixels that have absorbed it.

python docs/examples/absorption.py act-five-spots outputs/demonstrations
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.absorption import absorption_bars
from autoarm.interp.methods.absorption import absorption, state_in_pixels
from autoarm.interp.methods.probes import random_weights
from autoarm.interp.model.arrays import arrays_of, save_arrays
from autoarm.interp.observations.probe_data import dataset_batches, dataset_frames, frame_labels, input_size
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    dataset: tyro.conf.Positional[Path],
    out: Path = Path("outputs/absorption"),
    every: int = 60,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Give every `every`th frame the state of another."""
    loaded = load_act(policy, image_size=image_size)
    labels = frame_labels(dataset).every(every)
    frames = dataset_frames(dataset, input_size(loaded, image_size))
    (batch,) = dataset_batches(loaded, frames, labels, size=len(labels))
    order = np.random.default_rng(0).permutation(len(labels))
    states = batch["observation.state"][order]
    found = absorption(loaded.policy, batch, states)
    control = absorption(random_weights(loaded.policy), batch, states)
    save_arrays(out / "absorption.npz", arrays_of(found))
    figure, rows = absorption_bars({policy: found, "random weights": control})
    print(save_figure(figure, out / "absorption", rows))
    for site, (given, own) in state_in_pixels(loaded.policy, batch, states, labels.episode).items():
        print(f"{site}: R² of the given state {given:.2f}, of the one in the picture {own:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
