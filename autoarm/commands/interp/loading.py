"""The policies that the methods work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_autoarm.errors import IncompatiblePolicyError

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy


def load_act(reference: str, device: str = "cpu", image_size: tuple[int, int] | None = None) -> LeRobotPolicy:
    """The ACT policy that `reference` names. Raises `IncompatiblePolicyError` for any other kind."""
    from autoarm.interp.model.tokens import check_act
    from autoarm.policies.lerobot import LeRobotPolicy
    from autoarm.policies.loading import load_policy
    from gym_autoarm import spec

    policy = load_policy(reference, device=device, image_size=image_size or spec.IMAGE_SIZE)
    if not isinstance(policy, LeRobotPolicy):
        raise IncompatiblePolicyError(
            f"{reference!r} is no network to look into", field="policy", cure="name a checkpoint of LeRobot's ACT"
        )
    check_act(policy.policy)
    return policy
