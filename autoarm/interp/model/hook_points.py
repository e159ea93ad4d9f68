"""Hook points: the values of a module that can be read and replaced (input, output, attention weights and heads).

Values are passed with the batch first, whatever order the module itself works in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from autoarm.interp.model.attention_math import head_weights, project_values

Callback = Callable[[Tensor], Tensor | None]
"""Called with a value; its result, unless None, replaces the value."""


class HookPoint(ABC):
    """A value of a module that can be read and replaced."""

    @abstractmethod
    def attach(self, module: nn.Module, callback: Callback) -> list[RemovableHandle]:
        """Call `callback` with the value each time the module is called, until the handles are removed."""


@dataclass(frozen=True)
class Input(HookPoint):
    """The first positional argument, `(sequence, batch, channel)` in the module."""

    def attach(self, module: nn.Module, callback: Callback) -> list[RemovableHandle]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            new = callback(inputs[0].transpose(0, 1))
            return None if new is None else (new.transpose(0, 1), *inputs[1:])

        return [module.register_forward_pre_hook(hook)]


@dataclass(frozen=True)
class Output(HookPoint):
    """The output: a tensor, or what a tuple or a dictionary of the module holds under `key`.

    Attributes:
        key: None if the output is the value itself.
        batch_first: Whether the module's own output has the batch first.
    """

    key: int | str | None = None
    batch_first: bool = False

    def attach(self, module: nn.Module, callback: Callback) -> list[RemovableHandle]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            value = output if self.key is None else output[self.key]
            new = callback(value if self.batch_first else value.transpose(0, 1))
            if new is None:
                return None
            new = new if self.batch_first else new.transpose(0, 1)
            if self.key is None:
                return new
            if isinstance(output, _Attended):
                return output._replace(output=new)
            if isinstance(output, tuple):
                return tuple(new if index == self.key else part for index, part in enumerate(output))
            return type(output)({**output, self.key: new})

        return [module.register_forward_hook(hook)]


class _Attended(NamedTuple):
    """Output of a `MultiheadAttention` with those of each head; its callers use the first two fields only."""

    output: Tensor
    mean_weights: Tensor
    weights: Tensor
    heads: Tensor | None = None


class _Attention(HookPoint):
    def attach(self, module: nn.Module, callback: Callback) -> list[RemovableHandle]:
        def keep_heads_apart(module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            # Torch computes the weights of each head and then, if asked, their mean; the output is the same.
            return inputs, {**named, "average_attn_weights": False}

        def hook(module: Any, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> _Attended:
            given = dict(zip(("query", "key", "value"), inputs, strict=False)) | named
            attended = output if isinstance(output, _Attended) else _look_inside(module, given, output)
            return self.exchange(module, given, attended, callback) or attended

        return [
            module.register_forward_pre_hook(keep_heads_apart, with_kwargs=True),
            module.register_forward_hook(hook, with_kwargs=True),
        ]

    @abstractmethod
    def exchange(
        self, module: nn.MultiheadAttention, given: dict[str, Tensor], attended: _Attended, callback: Callback
    ) -> _Attended | None:
        """The module's new output, or None if the callback replaced nothing."""


class Weights(_Attention):
    """Attention weights of each head, `(batch, head, query, token)`, which LeRobot's own call averages over heads."""

    def exchange(
        self, module: nn.MultiheadAttention, given: dict[str, Tensor], attended: _Attended, callback: Callback
    ) -> _Attended | None:
        new = callback(attended.weights)
        if new is None:
            return None
        heads = new @ project_values(module, given["value"])
        return _Attended(_join(module, heads), new.mean(dim=1), new, heads)


class Heads(_Attention):
    """Output of each head, before the output projection mixes them: `(batch, query, head, channel)`."""

    def exchange(
        self, module: nn.MultiheadAttention, given: dict[str, Tensor], attended: _Attended, callback: Callback
    ) -> _Attended | None:
        heads = attended.weights @ project_values(module, given["value"]) if attended.heads is None else attended.heads
        new = callback(heads.transpose(1, 2))
        if new is None:
            return None
        heads = new.transpose(1, 2)
        return attended._replace(output=_join(module, heads), heads=heads)


def _look_inside(
    module: nn.MultiheadAttention, given: dict[str, Tensor], output: tuple[Tensor, Tensor | None]
) -> _Attended:
    # A call with need_weights=False returns none; they are computed again here.
    weights = head_weights(module, given["query"], given["key"]) if output[1] is None else output[1]
    return _Attended(output[0], weights.mean(dim=1), weights)


def _join(module: nn.MultiheadAttention, heads: Tensor) -> Tensor:
    """`(batch, head, query, channel)` to the module's output `(query, batch, width)`."""
    joined: Tensor = module.out_proj(heads.permute(2, 0, 1, 3).flatten(start_dim=2))
    return joined
