"""What a policy would do without its parts: MLPs, heads of the cross-attention, the state's token, random units.

python docs/examples/knockouts.py act-five-spots
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.interp.methods.knockout import heads, knock_out_parts, mlps, random_units, state_token
from autoarm.interp.model.arrays import arrays_of, save_arrays
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    out: Path = Path("outputs/knockouts"),
    positions: int = 3,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Take each part out, with the cube on a grid of `positions` squared."""
    loaded, rng = load_act(policy, image_size=image_size), np.random.default_rng(0)
    batch = rendered_frames(grid_positions(positions, positions), image_size=image_size).batch(loaded)
    parts = [
        *mlps(loaded.policy),
        *heads(loaded.policy, "decoder.0.cross_attention"),
        state_token(loaded.policy),
        random_units(loaded.policy, "decoder.0.mlp", 32, rng),
    ]
    found = knock_out_parts(loaded.policy, batch, batch, parts, rng)
    save_arrays(out / "knockouts.npz", arrays_of(found))
    for row in found.rows():
        print(f"{row['part']}, {row['kind']}: {row['effect']:.3f}")


if __name__ == "__main__":
    tyro.cli(main)
