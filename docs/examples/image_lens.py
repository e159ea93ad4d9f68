"""What a policy's hidden states show of the two frames, drawn from states at spots that the decoder never saw.

python docs/examples/image_lens.py act-five-spots outputs/demonstrations
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.lens import image_lens_strip
from autoarm.interp.methods.image_lens import image_lenses, small_frames
from autoarm.interp.methods.probes import collect_features, random_weights
from autoarm.interp.observations.probe_data import dataset_batches, dataset_frames, frame_labels, input_size
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    dataset: tyro.conf.Positional[Path],
    out: Path = Path("outputs/lens"),
    every: int = 15,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Draw every `every`th frame of the dataset."""
    loaded = load_act(policy, image_size=image_size)
    labels = frame_labels(dataset).every(every)
    frames = dataset_frames(dataset, input_size(loaded, image_size))
    sites = ["tokens.in", "encoder.out", "decoder.cross_attention", "decoder.out"]
    features = collect_features(loaded.policy, dataset_batches(loaded, frames, labels), sites)
    control = collect_features(random_weights(loaded.policy), dataset_batches(loaded, frames, labels), ["encoder.out"])
    chosen = {site: features[site] for site in sites} | {"encoder.out, untrained": control["encoder.out"]}
    pictures = small_frames(frames[labels.index])
    lenses = image_lenses(chosen, pictures, labels.spot)
    for site, lens in lenses.items():
        print(f"{site}: error {lens.error.mean():.1f} grey levels, mean frame {lens.mean_error.mean():.1f}")
    shown = np.linspace(0, len(labels) - 1, 5).astype(int)
    figure, rows = image_lens_strip(lenses, pictures, shown)
    print(save_figure(figure, out / "image-lens", rows))


if __name__ == "__main__":
    tyro.cli(main)
