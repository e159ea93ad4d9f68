"""Does the action need the tokens that get the attention? The most attended against random ones.

python docs/examples/token_masking.py act-five-spots
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.interp.methods.token_mask import mask_tokens
from autoarm.interp.model.arrays import arrays_of, save_arrays
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    out: Path = Path("outputs/tokens"),
    counts: tuple[int, ...] = (1, 3, 6),
    positions: int = 3,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Keep and hide tokens, with the cube on a grid of `positions` squared."""
    loaded = load_act(policy, image_size=image_size)
    batch = rendered_frames(grid_positions(positions, positions), image_size=image_size).batch(loaded)
    found = mask_tokens(loaded.policy, batch, counts, np.random.default_rng(0))
    save_arrays(out / "tokens.npz", arrays_of(found))
    for row in found.rows():
        print(", ".join(f"{name} {value:.3f}" for name, value in row.items()))


if __name__ == "__main__":
    tyro.cli(main)
