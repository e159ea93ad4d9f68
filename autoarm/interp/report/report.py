"""`write_interp_report`: the methods' findings about a policy on one page, for people who have not read the papers.

A section is a function from the policy and its observations (`Material`) to a part of the page; sections are in the
modules beside this one. Every figure lies beside the page as PNG, SVG and data.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.dataset import read_info
from autoarm.figures.style import save_figure
from autoarm.interp.model.capture import capture
from autoarm.interp.model.tokens import TokenLayout, check_act, token_layout
from autoarm.interp.observations.dataset_sample import DatasetSample, sample_dataset
from autoarm.interp.observations.rendered import RenderedFrames, grid_positions, rendered_frames
from autoarm.pages.pictures import data_uri
from autoarm.pages.templates import templates
from autoarm.results.platform import describe_platform
from autoarm.runtime.files import check_writable, write_text
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidInputError
from gym_autoarm.rng import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autoarm.policies.lerobot import LeRobotPolicy

PAGE: Final = "report.html"
FIGURES: Final = "figures"
"""Folder beside the page."""


@dataclass(frozen=True)
class Text:
    """A paragraph; `small` ones are remarks."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure in the page, and the paths of its SVG and CSV files."""

    image: str
    svg: str
    csv: str
    alt: str
    caption: str
    wide: bool = True


@dataclass(frozen=True)
class Table:
    """A table: the first column names the rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


Block = Text | Picture | Table

WORDS: Final = {"latent": "latent", "state": "joints", "environment": "environment"}
"""Names on the page of the tokens that are not patches."""
_SITES: Final = (
    (r"input\.pixels", "raw pixels"),
    (r"input\.state", "the joints alone"),
    (r"backbone\.(.+)", "backbone, {} view"),
    (r"tokens\.in", "what enters the encoder"),
    (r"encoder\.(\d+)\.out", "after encoder layer {}"),
    (r"encoder\.out", "the encoder’s output"),
    (r"decoder\.\d+\.cross_attention", "what the decoder fetches"),
    (r"decoder\.out", "the decoder’s output"),
)


def percent(part: float) -> str:
    """A share as a percentage, for the page."""
    return f"{100 * part:.1f}\N{NO-BREAK SPACE}%" if np.isfinite(part) else "–"


def listed(words: Sequence[str]) -> str:
    """Words joined by commas and "and"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def site_name(site: str) -> str:
    """A site's name on the page, for readers who do not know the names in code."""
    for pattern, words in _SITES:
        if found := re.fullmatch(pattern, site):
            return words.format(*found.groups())
    return site


def group_name(group: str) -> str:
    """A token group's name on the page."""
    return WORDS.get(group, f"{group} view")


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        question: Heading, as a question.
        answer: The result, in a sentence with numbers.
        blocks: Texts, pictures and tables, in order.
    """

    question: str
    answer: str
    blocks: Sequence[Block]


@dataclass(frozen=True, eq=False)
class Material:
    """The policy, observations and options that sections are made from.

    Attributes:
        policy: A `LeRobotPolicy` around an ACT.
        sample: Observations of the dataset.
        folder: Folder of the page.
        seed: Random seed.
        scenes: Number of rendered scenes of each kind, for sections that use them; 0 for none.
        samples: Number of activations to train a sparse autoencoder on.
        positions: Number of cube positions along each side of the work area, for sections that render the cube there.
        episodes: Number of episodes for sections that let the policy act; 0 for none.
        reference: Name of the policy for `load_policy`, needed to act.
    """

    policy: LeRobotPolicy
    sample: DatasetSample
    folder: Path
    seed: int = 0
    scenes: int = 0
    samples: int = 100_000
    positions: int = 7
    episodes: int = 0
    reference: str = ""
    _drawn: list[str] = field(default_factory=list)

    @property
    def act(self) -> Any:
        """LeRobot's own policy."""
        return self.policy.policy

    @cached_property
    def layout(self) -> TokenLayout:
        """Layout of the encoder's tokens."""
        return token_layout(self.act, self.sample.batch(self.policy, [0]))

    @cached_property
    def cameras(self) -> list[str]:
        """Cameras of the policy, in the order of `spec.CAMERAS`. Raises `InvalidInputError` if there is none."""
        found = [camera for camera in spec.CAMERAS if camera in self.layout.grids]
        if not found:
            raise InvalidInputError("this policy has no camera", field="policy", cure="use another")
        return found

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the dataset's frames."""
        return read_info(self.sample.dataset).image_size

    @cached_property
    def table(self) -> RenderedFrames:
        """Rendered observations with the cube on a grid over the work area, the arm at rest."""
        return rendered_frames(grid_positions(self.positions, self.positions), image_size=self.image_size)

    def last(self, part: str) -> str:
        """A site of the last decoder layer."""
        return f"decoder.{len(self.act.model.decoder.layers) - 1}.{part}"

    def captured(self, site: str, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Activations of a site at some rows of the sample."""
        return capture(self.act, self.sample.batches(self.policy, rows), [site])[site].values

    def rng(self, name: str) -> np.random.Generator:
        """A section's own random generator."""
        return stream(self.seed, "report", name)

    def rows(self, count: int) -> NDArray[np.intp]:
        """Evenly spread rows of the sample, `count` at most."""
        spread = np.linspace(0, len(self.sample) - 1, min(count, len(self.sample)))
        rows: NDArray[np.intp] = np.unique(spread.round()).astype(np.intp)
        return rows

    def picture(
        self, name: str, figure: Figure, rows: Sequence[Mapping[str, Any]], alt: str, caption: str, *, wide: bool = True
    ) -> Picture:
        """Save a figure with its data and return it for the page."""
        if name in self._drawn:
            raise InvalidInputError("two figures of one name", field=name, cure="give another")
        self._drawn.append(name)
        png = save_figure(figure, self.folder / FIGURES / name, rows)
        image = data_uri("image/png", png.read_bytes())
        return Picture(image, f"{FIGURES}/{name}.svg", f"{FIGURES}/{name}.csv", alt, caption, wide)


Make = Callable[[Material], Section | None]
"""Makes a section, or None if its options say that it is not wanted."""

_MODULES: Final = tuple(
    f"autoarm.interp.report.{name}" for name in ("attention", "reading", "causal", "memory", "features", "limits")
)
_SECTIONS: Final[dict[str, Make]] = {}


def section(name: str) -> Callable[[Make], Make]:
    """Register a function as a section of the page; sections keep the order in which they are defined."""

    def add(make: Make) -> Make:
        if not re.fullmatch(r"[a-z][a-z-]*", name) or name in _SECTIONS:
            raise InvalidInputError(
                f"{name!r} is taken, or not lower-case letters and hyphens", field="section", cure="choose another"
            )
        _SECTIONS[name] = make
        return make

    return add


def section_names() -> list[str]:
    """Names of all sections, in order."""
    for module in _MODULES:
        import_module(module)  # which registers its sections
    return list(_SECTIONS)


def write_interp_report(
    policy: LeRobotPolicy,
    dataset: Path,
    folder: Path,
    *,
    sections: Sequence[str] = (),
    frames: int = 400,
    scenes: int = 0,
    samples: int = 100_000,
    positions: int = 7,
    episodes: int = 0,
    reference: str = "",
    seed: int = 0,
    command: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Write `report.html` and its figures.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        dataset: LeRobotDataset folder.
        folder: Folder of the page.
        sections: Names of the sections to make; all if empty.
        frames: Number of frames of the dataset, spread over its episodes.
        scenes: Number of rendered scenes of each kind, for sections that use them.
        samples: Number of activations to train a sparse autoencoder on.
        positions: Number of cube positions along each side of the work area, for sections that render the cube there.
        episodes: Number of episodes to act in, for the section that measures success; it is left out at 0.
        reference: Name of the policy for `load_policy`, needed to act.
        seed: Random seed.
        command: The command line that made the report.
        progress: Called with a section's name, its number and how many there are.

    Returns:
        The page's path. A section that cannot be made says why on the page.

    Raises:
        IncompatiblePolicyError: If the policy is no ACT.
        InvalidInputError: For an unknown section.
        InvalidFileError: If the dataset cannot be read or the folder cannot be written.
    """
    check_act(policy.policy)
    known = section_names()
    if unknown := [name for name in sections if name not in known]:
        raise InvalidInputError(f"no section {unknown[0]!r}", field="sections", cure=f"choose from {', '.join(known)}")
    check_writable(folder / PAGE)
    sample = sample_dataset(policy, dataset, frames)
    material = Material(policy, sample, folder, seed, scenes, samples, positions, episodes, reference)
    chosen = [name for name in known if not sections or name in sections]
    made: list[tuple[str, Section]] = []
    for number, name in enumerate(chosen):
        if progress is not None:
            progress(name, number, len(chosen))
        if (said := _make(name, material)) is not None:
            made.append((name, said))
    page = {
        "title": f"Inside {policy.name}",
        "policy": policy.name,
        "observations": len(material.sample),
        "episodes": len(np.unique(material.sample.episode)),
        "dataset": Path(dataset).name or Path(dataset).resolve().name,
        "sections": [(name, each, [(_kind(block), block) for block in each.blocks]) for name, each in made],
        "command": shlex.join(command),
        "weights": policy.describe().sha256 or "",
        "seed": seed,
        "platform": describe_platform(gl=False),
    }
    path = folder / PAGE
    write_text(path, templates(__package__).get_template("report.html").render(page))
    return path


def _make(name: str, material: Material) -> Section | None:
    try:
        return _SECTIONS[name](material)
    except AutoArmError as error:
        # One section that cannot be made must not prevent all the others.
        return Section(name.replace("-", " ").capitalize(), f"Left out: {error}", ())


def _kind(block: Block) -> str:
    return type(block).__name__.lower()
