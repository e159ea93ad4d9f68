"""The same episodes with and without a part of the policy.

python docs/examples/closed_loop.py act-five-spots --episodes 50
"""

from __future__ import annotations

import tyro

from autoarm.evaluation.evaluate import evaluate
from autoarm.interp.methods.edited_policy import Ablate, EditedPolicy
from autoarm.interp.methods.knockout import Part
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    site: str = "decoder.0.mlp",
    episodes: int = 20,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    time_limit: int = spec.TIME_LIMIT,
) -> None:
    """Run the policy whole and with zeros at `site`."""
    edited = EditedPolicy(policy, [Ablate(Part(site, site))], image_size=image_size)
    for acting in (policy, edited):
        result = evaluate(acting, episodes=episodes, image_size=image_size, time_limit=time_limit)
        rate = result.overall
        print(f"{result.policy.name}: {rate.successes} of {rate.episodes} ({rate.low:.0%} to {rate.high:.0%})")


if __name__ == "__main__":
    tyro.cli(main)
