"""Move what a probe reads as the cube's position, and see whether the action follows.

python docs/examples/steering.py act-five-spots
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.interp.methods.steering import fit_probe, steer
from autoarm.interp.model.arrays import arrays_of, save_arrays
from autoarm.interp.model.capture import capture
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    out: Path = Path("outputs/steering"),
    site: str = "encoder.out",
    positions: int = 5,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Fit the probe on every other place of a grid of `positions` squared; move from those to their neighbours."""
    loaded = load_act(policy, image_size=image_size)
    drawn = rendered_frames(grid_positions(positions, positions), image_size=image_size)
    known, new = slice(0, -1, 2), slice(1, None, 2)
    batch = drawn.batch(loaded)
    clean, source = ({key: batch[key][rows] for key in loaded.policy.config.input_features} for rows in (known, new))
    values = capture(loaded.policy, [clean], [site])[site]
    probe = fit_probe(values, drawn.xy[known])
    change = drawn.xy[new] - drawn.xy[known]
    found = steer(loaded.policy, clean, source, site, probe, change, np.random.default_rng(0))
    save_arrays(out / "steering.npz", arrays_of(found))
    print(f"{site}: effect {np.nanmean(found.effect):.2f}, random directions {np.nanmean(found.control):.2f}")


if __name__ == "__main__":
    tyro.cli(main)
