"""Which part of a policy carries the news that the cube lies elsewhere.

python docs/examples/tracing.py act-five-spots
"""

from __future__ import annotations

from pathlib import Path

import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.tracing import tracing_grid
from autoarm.interp.methods.tracing import trace
from autoarm.interp.model.arrays import arrays_of, save_arrays
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    out: Path = Path("outputs/tracing"),
    positions: int = 3,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Move the cube between the mirrored places of a grid of `positions` squared, the arm at rest."""
    loaded = load_act(policy, image_size=image_size)
    places = grid_positions(positions, positions)
    # Turned about the middle of the table; the place in the middle itself would not move.
    moved = [number for number in range(len(places)) if number != len(places) // 2]
    clean = rendered_frames(places[moved], image_size=image_size).batch(loaded)
    source = rendered_frames(places[::-1][moved], image_size=image_size).batch(loaded)
    found = trace(loaded.policy, clean, source)
    save_arrays(out / "tracing.npz", arrays_of(found))
    figure, rows = tracing_grid(found)
    print(save_figure(figure, out / "tracing", rows))


if __name__ == "__main__":
    tyro.cli(main)
