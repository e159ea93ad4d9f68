"""Callbacks at sites inside a block, with a check that each is called in every forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from autoarm.interp.model.hook_points import Callback
from autoarm.interp.model.sites import Site


@dataclass
class Passes:
    """How many forward passes have been completed."""

    count: int = 0


@contextmanager
def attached(policy: Any, found: Mapping[str, Site], callbacks: Mapping[str, Callback]) -> Iterator[Passes]:
    """Inside the block, call the callbacks with the values at their sites.

    Args:
        policy: An ACT policy.
        found: Its sites, as `resolve` returns them.
        callbacks: Callbacks by the same names.

    Raises:
        AssertionError: In the policy's forward pass, if it did not call one of the callbacks.
    """
    passes = Passes()
    calls: dict[str, int] = {}

    def start(module: nn.Module, inputs: Any) -> None:
        calls.update(dict.fromkeys(found, 0))

    def finish(module: nn.Module, inputs: Any, output: Any) -> None:
        silent = [name for name, site in found.items() if calls[name] <= site.call]
        if silent:
            raise AssertionError(f"{len(silent)} of {len(found)} hooks did not fire: {', '.join(silent)}")
        passes.count += 1

    def counting(name: str, site: Site) -> Callback:
        def call(value: Tensor) -> Tensor | None:
            number = calls[name]
            calls[name] = number + 1
            return callbacks[name](value) if number == site.call else None

        return call

    with ExitStack() as stack:
        handles = [policy.model.register_forward_pre_hook(start)]
        for name, site in found.items():
            handles += site.hook_point.attach(site.module, counting(name, site))
        handles.append(policy.model.register_forward_hook(finish))
        for handle in handles:
            stack.callback(handle.remove)
        yield passes
