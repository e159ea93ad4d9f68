"""What the units of the decoder's MLP answer to: which frames, where on the table, in how many episodes.

python docs/examples/memory_units.py act-five-spots outputs/demonstrations
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.memory import unit_fields, unit_histogram
from autoarm.interp.methods.memory_units import episode_spread, field_scores, triggers, unit_activations
from autoarm.interp.observations.probe_data import dataset_batches, dataset_frames, frame_labels, input_size
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    dataset: tyro.conf.Positional[Path],
    out: Path = Path("outputs/units"),
    every: int = 15,
    positions: int = 8,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Look at the dataset's frames, and at the cube on a grid of `positions` squared."""
    loaded = load_act(policy, image_size=image_size)
    labels = frame_labels(dataset).every(every)
    frames = dataset_frames(dataset, input_size(loaded, image_size))
    answers = unit_activations(loaded.policy, dataset_batches(loaded, frames, labels))
    first = triggers(answers, 3)
    served = episode_spread(answers.mean, labels.episode)
    loudest = np.argsort(-answers.peak.max(axis=0))[:8]
    for unit in loudest:
        rows = first.frame[unit]
        where = [f"episode {labels.episode[row]} step {labels.step[row]}" for row in rows]
        print(f"unit {unit}: {', '.join(where)}; as if in {served.effective[unit]:.1f} episodes")
    drawn = rendered_frames(grid_positions(positions, positions), image_size=image_size)
    over_table = unit_activations(loaded.policy, drawn.batches(loaded))
    scores = field_scores(over_table.mean, drawn.xy, np.arange(len(drawn)))
    figure, table = unit_fields(over_table.mean, drawn.xy, loudest, scores)
    save_figure(figure, out / "fields", table)
    figure, table = unit_histogram(np.maximum(scores, -1.0), "R² of the field at held-out places")
    print(save_figure(figure, out / "field-scores", table))


if __name__ == "__main__":
    tyro.cli(main)
