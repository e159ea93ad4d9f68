"""Attention of a policy at every step while it acts, recorded without changing its actions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor

from autoarm.interp.methods import summary
from autoarm.interp.methods.summary import Weights
from autoarm.interp.model.capture import to_numpy
from autoarm.interp.model.hooks import Passes, attached
from autoarm.interp.model.policy_state import state_kept
from autoarm.interp.model.sites import resolve
from autoarm.interp.model.tokens import TokenLayout, check_act, check_batch, token_layout
from gym_autoarm.errors import InvalidInputError

Every = Literal["step", "chunk"]
"""How often attention is computed."""

_ENCODER: Final = "encoder.{}.attention.weights"
_DECODER: Final = "decoder.{}.cross_attention.weights"


@dataclass(frozen=True)
class AttentionStep:
    """Attention at one step.

    Attributes:
        step: Number of the step since recording began.
        slot: Slot of the chunk that the action came from; 0 where a new chunk was predicted.
        source: `own` if recorded in the policy's own forward pass, `extra` if in an additional one, `repeated` if
            copied from the step before.
        layout: Layout of the tokens.
        decoder: Cross-attention of each layer for this observation, `(batch, head, slot, token)`.
        encoder: Self-attention of each layer `(batch, head, query, token)`; empty unless asked for.
    """

    step: int
    slot: int
    source: Literal["own", "extra", "repeated"]
    layout: TokenLayout
    decoder: tuple[Weights, ...]
    encoder: tuple[Weights, ...] = ()

    def shares(self, layer: int = -1) -> dict[str, float]:
        """Share of a decoder layer's attention on latent, state and each camera, mean over the rest; sums to 1."""
        found = summary.shares(self.decoder[layer], self.layout)
        return {group: float(values.mean()) for group, values in found.items()}

    def effective_tokens(self, layer: int = -1) -> Weights:
        """Effective number of tokens that each head and slot of a decoder layer attends to, `(batch, head, slot)`."""
        return summary.effective_tokens(self.decoder[layer])

    def rollout(self, layer: int = -1) -> Weights:
        """Attention rollout from a decoder layer back to the encoder's input, `(batch, slot, token)`."""
        return summary.rollout(self.encoder, self.decoder[layer])


@contextmanager
def record_attention(
    policy: Any,
    *,
    encoder: bool = False,
    every: Every = "step",
    on_step: Callable[[AttentionStep], None] | None = None,
) -> Iterator[AttentionRecorder]:
    """Record a policy's attention each time `select_action` is called in the block.

    Where the policy predicts a chunk, its own forward pass is recorded; where it replays one, an extra forward pass is
    made, and queue, random state and modes are restored. Every action is bit for bit what it would have been.

    Args:
        policy: A LeRobot `ACTPolicy`, or a `LeRobotPolicy` around one. The latter returns whole chunks, so each call of
            `act` is one step here; `AttentionRecorder.look` adds the steps in between.
        encoder: Record the encoder's self-attention too: 46 MB a step at ACT's default size, with 602 tokens.
        every: `chunk` saves the extra passes: a chunk's attention stands for all its steps.
        on_step: Called with each step, which is then not kept in the recorder's list: for long recordings.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        AssertionError: If an attention was not reached.
    """
    if every not in get_args(Every):
        raise InvalidInputError(f"{every!r} is unknown", field="every", cure="choose step or chunk")
    recorder = AttentionRecorder(policy, encoder, every, on_step)
    with recorder._watching():
        yield recorder


class AttentionRecorder:
    """The recording that `record_attention` makes.

    Attributes:
        steps: Steps so far; empty if `on_step` gets them instead.
        count: Number of steps so far.
    """

    def __init__(
        self, policy: Any, encoder: bool, every: Every, on_step: Callable[[AttentionStep], None] | None
    ) -> None:
        self.steps: list[AttentionStep] = []
        self.count = 0
        self._given = policy
        # The same for LeRobot's policy and for ours around it.
        self._policy = check_act(getattr(policy, "policy", policy))
        names = [_DECODER.format(number) for number in range(len(self._policy.model.decoder.layers))]
        if encoder:
            names += [_ENCODER.format(number) for number in range(len(self._policy.model.encoder.layers))]
        self._sites = resolve(self._policy, names)
        self._every, self._on_step = every, on_step
        self._seen: dict[str, Tensor] = {}
        self._last: AttentionStep | None = None
        self._inside = False

    def look(self, observation: Mapping[str, Any]) -> None:
        """Record a step at which the policy is not called: inside a chunk, or in an episode that it does not act in.

        Args:
            observation: An observation of the environment for a `LeRobotPolicy`, whose processors keep their state; a
                batch for LeRobot's own policy.
        """
        batch = observation
        if self._given is not self._policy:
            # Steps of a processor may remember what they have seen.
            shadow = copy.copy(self._given)
            shadow._preprocess = copy.deepcopy(self._given._preprocess)
            batch = shadow.batch(observation)
        self._record(batch, own=False, slot=0 if self._last is None else self._last.slot + 1)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        callbacks = {name: partial(self._seen.__setitem__, name) for name in self._sites}
        with ExitStack() as stack:
            passes = stack.enter_context(attached(self._policy, self._sites, callbacks))
            for method in ("select_action", "predict_action_chunk"):
                stack.enter_context(_replaced(self._policy, method, self._wrapped(method, passes)))
            yield

    def _wrapped(self, method: str, passes: Passes) -> Callable[..., Any]:
        original = getattr(self._policy, method)

        def call(batch: Mapping[str, Any], *args: Any, **named: Any) -> Any:
            if self._inside:  # select_action predicts its chunks by the other method
                return original(batch, *args, **named)
            before = passes.count
            self._inside = True
            try:
                actions = original(batch, *args, **named)
            finally:
                self._inside = False
            self._record(batch, own=passes.count > before, slot=self._slot() if method == "select_action" else 0)
            return actions

        return call

    def _slot(self) -> int:
        """The slot of its chunk that the last action came from."""
        config = self._policy.config
        if config.temporal_ensemble_coeff is not None:
            return 0
        return int(config.n_action_steps) - 1 - len(self._policy._action_queue)

    def _record(self, batch: Mapping[str, Any], own: bool, slot: int) -> None:
        last = self._last
        if not own and last is not None and self._every == "chunk":
            step = replace(last, step=self.count, slot=slot, source="repeated")
        else:
            if not own:
                self._pass(batch)
            arrays = {name: to_numpy(self._seen.pop(name)) for name in self._sites}
            step = AttentionStep(
                self.count,
                slot,
                "own" if own else "extra",
                token_layout(self._policy, batch),
                decoder=tuple(array for name, array in arrays.items() if name.startswith("decoder.")),
                encoder=tuple(array for name, array in arrays.items() if name.startswith("encoder.")),
            )
        self._last = step
        self.count += 1
        if self._on_step is None:
            self.steps.append(step)
        else:
            self._on_step(step)

    def _pass(self, batch: Mapping[str, Any]) -> None:
        check_batch(self._policy, batch)
        with state_kept(self._policy), torch.no_grad():
            # The class's own method: the wrapped one would record this as a step.
            type(self._policy).predict_action_chunk(self._policy, dict(batch))


@contextmanager
def _replaced(owner: Any, method: str, function: Callable[..., Any]) -> Iterator[None]:
    """Replace an object's method inside the block."""
    before = vars(owner).get(method)
    setattr(owner, method, function)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, method)
        else:
            setattr(owner, method, before)
