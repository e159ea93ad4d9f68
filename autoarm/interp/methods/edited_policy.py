"""A checkpoint that acts with something changed inside: open-loop effects put to the test in closed loop.

What is changed is described by a recipe, plain data that travels to worker processes and is written into results;
`evaluate` and `run_episodes` take an `EditedPolicy` like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.methods.knockout import Kind, Part, removal
from autoarm.interp.methods.steering import add, as_long
from autoarm.interp.methods.token_mask import attended, most_attended, see_only
from autoarm.interp.model.capture import Batch
from autoarm.interp.model.intervene import Edit, intervene
from autoarm.interp.model.intervene import replace as put
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


class Recipe(Protocol):
    """What to change, observation by observation."""

    @property
    def label(self) -> str:
        """A few words for tables."""
        ...

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        """The edits by site for one observation.

        Args:
            policy: LeRobot's `ACTPolicy`, not edited.
            batch: The observation.
            rng: Of the episode.
        """
        ...


@dataclass(frozen=True, eq=False)
class Without:
    """A part is taken out.

    Attributes:
        part: See `autoarm.interp.methods.knockout`.
        kind: How.
        reference: Of the part's site, for `mean` and `resample`.
    """

    part: Part
    kind: Kind = "zero"
    reference: NamedArray | None = None

    @property
    def label(self) -> str:
        return f"without {self.part.name} ({self.kind})"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        return {self.part.site: removal(self.part, self.kind, self.reference, rng)}


@dataclass(frozen=True, eq=False)
class Pushed:
    """A site is moved, as by `autoarm.interp.methods.steering.LinearProbe.push`.

    Attributes:
        site: Where.
        change: Added to its values, `(*shape)`.
        random: Whether a random direction as long, drawn for each episode, takes its place: the control.
    """

    site: str
    change: NDArray[np.float32]
    random: bool = False

    @property
    def label(self) -> str:
        return f"{self.site} {'moved at random' if self.random else 'moved'}"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        return {self.site: add(as_long(self.change[None], rng)[0] if self.random else self.change)}


@dataclass(frozen=True, eq=False)
class Seeing:
    """The decoder sees some tokens only.

    Attributes:
        count: How many.
        top: The most attended, rather than as many at random.
        hidden: Sees all but these.
    """

    count: int
    top: bool = True
    hidden: bool = False

    @property
    def label(self) -> str:
        seen = "without the" if self.hidden else "with nothing but the"
        return f"{seen} {self.count} most attended tokens" if self.top else f"{seen[:-4]} {self.count} random tokens"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        attention = attended(policy, batch)
        chosen = most_attended(attention if self.top else rng.random(attention.shape), self.count)
        edit = see_only(~chosen if self.hidden else chosen)
        return {f"decoder.{n}.cross_attention.weights": edit for n in range(len(policy.model.decoder.layers))}


@dataclass(frozen=True, eq=False)
class DecodedFrom:
    """Encoder layers after one of them are skipped, as in the action lens: 0 keeps the encoder's input alone."""

    layers: int

    @property
    def label(self) -> str:
        return f"decoded after {self.layers} encoder layers"

    def edits(self, policy: Any, batch: Batch, rng: np.random.Generator) -> Mapping[str, Edit]:
        from autoarm.interp.methods.lens import early_output

        return {"encoder.out": put(early_output(policy, batch, self.layers))}


class EditedPolicy(WrappedPolicy):
    """A LeRobot ACT checkpoint under edits, as a `Policy`.

    Args:
        reference: What `load_policy` takes, of an ACT. Each process loads its own.
        recipes: What to change; all of them, each at sites of its own.
        device: Of torch.
        image_size: Height and width of the frames it will be shown.

    Raises:
        IncompatiblePolicyError: When it is first used, if it is no ACT or ensembles its chunks over time: it would be
            begun anew with every edit.
    """

    def __init__(
        self,
        reference: str,
        recipes: Sequence[Recipe],
        device: str = "cpu",
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
    ) -> None:
        if not recipes:
            raise InvalidInputError("nothing to change", field="recipes", cure="give at least one recipe")
        super().__init__(reference, device, image_size)
        self._recipes = tuple(recipes)
        self.name = f"{reference} {', '.join(recipe.label for recipe in self._recipes)}"

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
        """The checkpoint's record, and what was changed in it."""
        record = self.inner.describe()
        edits = {"edits": [recipe.label for recipe in self._recipes]}
        return record.model_copy(update={"name": self.name, "role": "control", "config": record.config | edits})

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        self.inner.reset(seed, info)
        self._seed = seed

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        policy = self.inner.policy
        batch = self.inner.batch(observation)
        edits: dict[str, Edit] = {}
        for number, recipe in enumerate(self._recipes):
            # Drawn alike at each look of an episode: a random direction that changed would cancel itself out.
            for site, edit in recipe.edits(policy, batch, stream(self._seed, "edits", number)).items():
                if site in edits:
                    raise InvalidInputError(f"two recipes change {site!r}", field="recipes", cure="give them apart")
                edits[site] = edit
        with intervene(policy, edits):
            return self.inner.act(observation, info)
