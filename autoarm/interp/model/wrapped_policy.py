"""Base class of policies that wrap a checkpoint of ACT, which every process loads for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoarm.policies.protocol import Policy

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy


class WrappedPolicy:
    """A checkpoint that is loaded when it is first used and not pickled with this object.

    Args:
        reference: An ACT policy, as `load_policy` takes it.
        device: Torch device.
        image_size: Height and width of the frames that it will get.
    """

    needs_images = True

    def __init__(self, reference: str, device: str, image_size: tuple[int, int]) -> None:
        self._arguments = (reference, device, image_size)
        self._loaded: LeRobotPolicy | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    @property
    def inner(self) -> LeRobotPolicy:
        """The checkpoint itself."""
        if self._loaded is None:
            from autoarm.policies.loading import load_policy

            reference, device, image_size = self._arguments
            self._loaded = self._accept(load_policy(reference, device=device, image_size=image_size))
        return self._loaded

    def _accept(self, loaded: Policy) -> LeRobotPolicy:
        """The policy that was loaded. Raises `IncompatiblePolicyError` if it is none of those that can be wrapped."""
        raise NotImplementedError
