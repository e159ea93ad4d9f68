"""A checkpoint that acts with interventions inside: the test in closed loop of effects measured open loop.

What is changed is described by interventions: plain data that is sent to worker processes and written into results.
`evaluate` and `run_episodes` take an `EditedPolicy` like any other policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.methods.knockout import Kind, Part, ablation_edit
from autoarm.interp.methods.steering import add, random_directions
from autoarm.interp.methods.token_mask import keep_tokens, most_attended, token_attention
from autoarm.interp.model.capture import Batch
from autoarm.interp.model.intervene import Edit, intervene
from autoarm.interp.model.named_array import NamedArray
from autoarm.interp.model.tokens import check_act
from autoarm.interp.model.wrapped_policy import WrappedPolicy
from autoarm.policies.protocol import Policy
from autoarm.results.result import PolicyRecord
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError
from gym_autoarm.rng import stream

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy


class Intervention(Protocol):
    """A change inside the policy, made anew for each observation."""

    @property
    def label(self) -> str:
        """A few words for tables."""
        ...

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        """The edits by site for one observation.

        Args:
            policy: LeRobot's `ACTPolicy`, not edited.
            batch: The observation.
            rng: Random numbers of the episode.
        """
        ...


@dataclass(frozen=True, eq=False)
class Ablate:
    """Ablate a part.

    Attributes:
        part: The part; see `autoarm.interp.methods.knockout`.
        kind: With what its values are replaced.
        reference: Captured values of the part's site, for `mean` and `resample`.
    """

    part: Part
    kind: Kind = "zero"
    reference: NamedArray | None = None

    @property
    def label(self) -> str:
        return f"without {self.part.name} ({self.kind})"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        return {self.part.site: ablation_edit(self.part, self.kind, self.reference, rng)}


@dataclass(frozen=True, eq=False)
class Steer:
    """Add a steering vector to a site, such as `autoarm.interp.methods.steering.LinearProbe.steering_vector` gives.

    Attributes:
        site: Name of the site.
        change: The vector, in the shape of the site's values without the batch.
        random: Add a random direction of the same length instead, drawn for each episode: the control.
    """

    site: str
    change: NDArray[np.float32]
    random: bool = False

    @property
    def label(self) -> str:
        return f"{self.site} {'moved at random' if self.random else 'moved'}"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        return {self.site: add(random_directions(self.change[None], rng)[0] if self.random else self.change)}


@dataclass(frozen=True, eq=False)
class MaskTokens:
    """Mask all but some tokens in the decoder's cross-attention.

    Attributes:
        count: Number of tokens.
        top: Choose the most attended tokens, rather than random ones.
        hidden: Mask these tokens, rather than all others.
    """

    count: int
    top: bool = True
    hidden: bool = False

    @property
    def label(self) -> str:
        seen = "without the" if self.hidden else "with nothing but the"
        return f"{seen} {self.count} most attended tokens" if self.top else f"{seen[:-4]} {self.count} random tokens"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        attention = token_attention(policy, batch)
        chosen = most_attended(attention if self.top else rng.random(attention.shape), self.count)
        edit = keep_tokens(~chosen if self.hidden else chosen)
        return {f"decoder.{n}.cross_attention.weights": edit for n in range(len(policy.model.decoder.layers))}


class EditedPolicy(WrappedPolicy):
    """A LeRobot ACT checkpoint with interventions, as a `Policy`.

    Args:
        reference: An ACT policy, as `load_policy` takes it. Each process loads its own.
        interventions: All are made together, each at sites of its own.
        device: Torch device.
        image_size: Height and width of the frames that it will get.

    Raises:
        IncompatiblePolicyError: When it is first used, if it is no ACT, or ensembles its chunks over time: every
            intervention starts the ensemble again.
    """

    def __init__(
        self,
        reference: str,
        interventions: Sequence[Intervention],
        device: str = "cpu",
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
    ) -> None:
        if not interventions:
            raise InvalidInputError("nothing to change", field="interventions", cure="give at least one intervention")
        super().__init__(reference, device, image_size)
        self._interventions = tuple(interventions)
        self.name = f"{reference} {', '.join(intervention.label for intervention in self._interventions)}"

    def _accept(self, loaded: Policy) -> LeRobotPolicy:
        from autoarm.policies.lerobot import LeRobotPolicy

        act = check_act(loaded.policy if isinstance(loaded, LeRobotPolicy) else loaded)
        if act.config.temporal_ensemble_coeff is not None:
            raise IncompatiblePolicyError(
                "ensembles its chunks over time", field="policy", cure="give one with temporal_ensemble_coeff null"
            )
        assert isinstance(loaded, LeRobotPolicy)
        return loaded

    def describe(self) -> PolicyRecord:
        """The checkpoint's record, with the interventions' labels in its configuration."""
        record = self.inner.describe()
        edits = {"edits": [intervention.label for intervention in self._interventions]}
        return record.model_copy(update={"name": self.name, "role": "control", "config": record.config | edits})

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        self.inner.reset(seed, info)
        self._seed = seed

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        policy = self.inner.policy
        batch = self.inner.batch(observation)
        edits: dict[str, Edit] = {}
        for number, intervention in enumerate(self._interventions):
            # The same draw for each observation of an episode: a random direction that changed would average out.
            for site, edit in intervention.edits(policy, batch, stream(self._seed, "edits", number)).items():
                if site in edits:
                    raise InvalidInputError(
                        f"two interventions change {site!r}", field="interventions", cure="evaluate them separately"
                    )
                edits[site] = edit
        with intervene(policy, edits):
            return self.inner.act(observation, info)
