"""Does a policy copy the nearest demonstration or follow the expert, and which part of it does what?

python docs/examples/slope.py act-five-spots outputs/demonstrations
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.data.dataset import demonstrations
from autoarm.figures.style import save_figure
from autoarm.interp.figures.slope import slope_map, slope_scatter
from autoarm.interp.methods.memory import split_action
from autoarm.interp.methods.slope import inside_hull, slope, split_changes, split_slopes
from autoarm.interp.observations.rendered import (
    action_scale,
    demonstration_chunks,
    expert_chunks,
    grid_positions,
    nearest_positions,
    rendered_frames,
)
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    dataset: tyro.conf.Positional[Path],
    out: Path = Path("outputs/slope"),
    positions: int = 6,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Ask at a grid of `positions` squared, the arm at rest."""
    loaded = load_act(policy, image_size=image_size)
    known = demonstrations(dataset)
    cubes = np.array([each.cube_xy for each in known])
    here = rendered_frames(grid_positions(positions, positions), image_size=image_size)
    nearest = nearest_positions(here.xy, cubes)
    there = rendered_frames(cubes[nearest], image_size=image_size)
    new, old = (split_action(loaded.policy, drawn.batch(loaded)) for drawn in (here, there))
    steps, scale = new.action.shape[1], action_scale(loaded)
    # What the expert does, and what was demonstrated, in the policy's own units.
    wanted, from_expert = (scale.normalise(expert_chunks(drawn, steps)) for drawn in (here, there))
    copied = scale.normalise(demonstration_chunks([each.actions for each in known], nearest, steps))
    behaviour = slope(new.action, copied, wanted)
    parts = split_slopes(split_changes(new, old), wanted - from_expert)
    print(f"against the demonstration: {behaviour.overall:.2f} ({behaviour.low:.2f} to {behaviour.high:.2f})")
    print(
        *(f"{name}: {part.overall:.2f} ({part.low:.2f} to {part.high:.2f})" for name, part in parts.items()), sep="\n"
    )
    distance = np.linalg.norm(here.xy - cubes[nearest], axis=1)
    inside = inside_hull(here.xy, list(spec.SPOTS.values()))
    # The parts are those of what the policy changes itself between the two places, whatever was demonstrated there.
    through = {f"its own change, through {name}": part for name, part in parts.items()}
    figure, rows = slope_scatter({policy: behaviour, **through}, distance, inside)
    save_figure(figure, out / "slope", rows)
    figure, rows = slope_map(behaviour, here.xy, cubes)
    print(save_figure(figure, out / "slope-map", rows))


if __name__ == "__main__":
    tyro.cli(main)
