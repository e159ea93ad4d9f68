"""Where a policy looks while it acts, at every step, without any influence on what it does."""

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
        slot: Which slot of the chunk the action came from that was taken: 0 where the policy predicted one.
        source: Whether the policy's own forward pass at this step was seen, an extra one was made, or the chunk's
            attention is repeated.
        layout: What the tokens are.
        decoder: Cross-attention of each layer `(batch, head, slot, token)`; of all future slots as of this observation.
        encoder: Self-attention of each layer `(batch, head, query, token)`; empty unless asked for.
    """

    step: int
    slot: int
    source: Literal["own", "extra", "repeated"]
    layout: TokenLayout
    decoder: tuple[Weights, ...]
    encoder: tuple[Weights, ...] = ()

    def shares(self, layer: int = -1) -> dict[str, float]:
        """How a decoder layer divides its attention between latent, state and cameras, mean over all; sums to 1."""
        found = summary.shares(self.decoder[layer], self.layout)
        return {group: float(values.mean()) for group, values in found.items()}

    def effective_tokens(self, layer: int = -1) -> Weights:
        """Over how many tokens each head of a decoder layer spreads each slot, `(batch, head, slot)`."""
        return summary.effective_tokens(self.decoder[layer])

    def rollout(self, layer: int = -1) -> Weights:
        """A decoder layer's attention followed back to the encoder's input, `(batch, slot, token)`."""
        return summary.rollout(self.encoder, self.decoder[layer])


@contextmanager
def record_attention(
    policy: Any,
    *,
    encoder: bool = False,
    every: Every = "step",
    on_step: Callable[[AttentionStep], None] | None = None,
) -> Iterator[AttentionRecorder]:
    """Record where a policy looks each time `select_action` is called in the block.

    Where the policy predicts a chunk, its own forward pass is watched; where it replays one, the observation goes
    through the network once more, with queue, random state and modes put back. So every action taken is, to the bit,
    what it would have been.

    Args:
        policy: A LeRobot `ACTPolicy`, or a `LeRobotPolicy` around one. That decides on whole chunks, so that each call
            of `act` is one step here; `AttentionRecorder.look` adds those in between.
        encoder: Record the encoder's self-attention too: 602 tokens make 46 MB a step at ACT's default size.
        every: `chunk` saves the extra passes: a chunk's attention stands for all its steps.
        on_step: Gets each step in place of the recorder's list, for long recordings.

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
    """What `record_attention` records.

    Attributes:
        steps: So far, unless a function of the caller gets them instead.
        count: How many there were.
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
        """Record a step at which the policy is not asked: one of those inside a chunk, or of somebody else's episode.

        Args:
            observation: Of the contract for a `LeRobotPolicy`, whose processors do not notice; for LeRobot's own policy
                a batch.
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
        """Which slot of its chunk the action just taken is from."""
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
            # The class's own method: ours in front of it would take this for a step.
            type(self._policy).predict_action_chunk(self._policy, dict(batch))


@contextmanager
def _replaced(owner: Any, method: str, function: Callable[..., Any]) -> Iterator[None]:
    """Put a function before an object's method, and take it away, whatever was there."""
    before = vars(owner).get(method)
    setattr(owner, method, function)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, method)
        else:
            setattr(owner, method, before)
