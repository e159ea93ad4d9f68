"""What can be read off each place in a policy, at spots where the probe was not trained.

python docs/examples/probes.py act-five-spots outputs/demonstrations
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.probes import channel_histogram, probe_table
from autoarm.interp.methods.probes import collect_features, probe_channels, probe_sites, random_weights
from autoarm.interp.model.capture import capture
from autoarm.interp.observations.probe_data import dataset_batches, dataset_frames, frame_labels, input_size
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    dataset: tyro.conf.Positional[Path],
    out: Path = Path("outputs/probes"),
    every: int = 15,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Probe every `every`th frame of the dataset."""
    loaded = load_act(policy, image_size=image_size)
    labels = frame_labels(dataset).every(every)
    frames = dataset_frames(dataset, input_size(loaded, image_size))
    sites = ["backbone.top", "encoder.0.out", "encoder.out", "decoder.mlp", "decoder.out"]
    features = collect_features(loaded.policy, dataset_batches(loaded, frames, labels), sites)
    untrained = collect_features(
        random_weights(loaded.policy), dataset_batches(loaded, frames, labels), ["encoder.out"]
    )
    features["untrained encoder.out"] = untrained["encoder.out"]
    scores = probe_sites(features, labels, ["start", "joints", "action", "grasped"])
    print(*(f"{s.site} {s.target}: {s.score:.2f}, control {s.control:.2f}" for s in scores), sep="\n")
    figure, rows = probe_table(scores)
    save_figure(figure, out / "probes", rows)

    # Channel by channel, as is often done, and with episodes kept together, two on either side at the least.
    still = labels.select(labels.stage == 0)
    if len(np.unique(still.episode)) < 4:
        return
    maps = capture(loaded.policy, dataset_batches(loaded, frames, still), ["backbone.top"])["backbone.top"].values
    left = still.start[:, 1] > still.start[:, 1].mean()
    figure, rows = channel_histogram(probe_channels(maps, left, still.episode))
    print(save_figure(figure, out / "channels", rows))


if __name__ == "__main__":
    tyro.cli(main)
