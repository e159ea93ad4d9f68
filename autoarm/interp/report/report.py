"""`write_interp_report`: what the methods find about a policy, on one page for people who have not read the papers.

A section is a function from what there is to look at (`Material`) to what the page says; they are in
modules `report_*` beside this one. Every figure lies beside the page as PNG, SVG and data.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from autoarm.data.dataset import read_info
from autoarm.figures.style import save_figure
from autoarm.interp.model.capture import capture
from autoarm.interp.model.tokens import TokenLayout, check_act, token_layout
from autoarm.interp.observations.dataset_sample import DatasetSample, sample_dataset
from autoarm.interp.observations.rendered import RenderedFrames, grid_positions, rendered_frames
from autoarm.results.platform import describe_platform
from autoarm.runtime.files import check_writable, write_text
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidInputError
from gym_autoarm.rng import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autoarm.policies.lerobot import LeRobotPolicy

TEMPLATE: Final = "report.html"
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
    """A figure in the page, and the addresses of its other forms beside it."""

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
"""What tokens that are no patches are called on the page."""
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
    """A share as the page has it."""
    return f"{100 * part:.1f}\N{NO-BREAK SPACE}%" if np.isfinite(part) else "–"


def listed(words: Sequence[str]) -> str:
    """Words one after another, as in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def site_name(site: str) -> str:
    """What a site is called on the page, for readers who do not know our names."""
    for pattern, words in _SITES:
        if found := re.fullmatch(pattern, site):
            return words.format(*found.groups())
    return site


def group_name(group: str) -> str:
    """What a group of tokens is called on the page."""
    return WORDS.get(group, f"{group} view")


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        question: Its heading, as somebody would ask it.
        answer: What came out, in a sentence with the numbers.
        blocks: In order.
    """

    question: str
    answer: str
    blocks: Sequence[Block]


@dataclass(frozen=True, eq=False)
class Material:
    """What sections have to look at.

    Attributes:
        policy: Around a LeRobot ACT.
        sample: Observations of the dataset.
        folder: Of the page.
        seed: Of everything random.
        scenes: Rendered scenes a section may ask for, of each kind; 0 for none.
        samples: Activations that a sparse autoencoder may see in training.
        positions: Of the cube along each side of the work area, where it is drawn at places of our choice.
        episodes: In which a section may let the policy act, each way; 0 for none.
        reference: What `load_policy` calls the policy, needed to act.
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
        """What the encoder's tokens are."""
        return token_layout(self.act, self.sample.batch(self.policy, [0]))

    @cached_property
    def cameras(self) -> list[str]:
        """Those that the policy sees, in the contract's order. Raises `InvalidInputError` if there is none."""
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
        """The cube at places all over the work area, drawn anew, the arm at rest."""
        return rendered_frames(grid_positions(self.positions, self.positions), image_size=self.image_size)

    def last(self, part: str) -> str:
        """A site of the last decoder layer."""
        return f"decoder.{len(self.act.model.decoder.layers) - 1}.{part}"

    def captured(self, site: str, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """What a site says at some rows of the sample."""
        return capture(self.act, self.sample.batches(self.policy, rows), [site])[site].values

    def rng(self, name: str) -> np.random.Generator:
        """Random numbers of a section's own."""
        return stream(self.seed, "report", name)

    def rows(self, count: int) -> NDArray[np.intp]:
        """Rows of the sample, evenly spread."""
        spread = np.linspace(0, len(self.sample) - 1, min(count, len(self.sample)))
        rows: NDArray[np.intp] = np.unique(spread.round()).astype(np.intp)
        return rows

    def picture(
        self, name: str, figure: Figure, rows: Sequence[Mapping[str, Any]], alt: str, caption: str, *, wide: bool = True
    ) -> Picture:
        """Save a figure with its data, for the page."""
        if name in self._drawn:
            raise InvalidInputError("two figures of one name", field=name, cure="give another")
        self._drawn.append(name)
        png = save_figure(figure, self.folder / FIGURES / name, rows)
        image = f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode()}"
        return Picture(image, f"{FIGURES}/{name}.svg", f"{FIGURES}/{name}.csv", alt, caption, wide)


Make = Callable[[Material], Section | None]
"""None where nobody asked for it."""

_MODULES: Final = tuple(
    f"autoarm.interp.report_{name}" for name in ("attention", "reading", "causal", "memory", "features", "limits")
)
_SECTIONS: Final[dict[str, Make]] = {}


def section(name: str) -> Callable[[Make], Make]:
    """Put a function among the sections of the page, in the order in which they are defined."""

    def add(make: Make) -> Make:
        if not re.fullmatch(r"[a-z][a-z-]*", name) or name in _SECTIONS:
            raise InvalidInputError(f"{name!r} is taken, or no name", field="section", cure="choose another")
        _SECTIONS[name] = make
        return make

    return add


def section_names() -> list[str]:
    """All sections, in order."""
    for module in _MODULES:
        import_module(module)  # which puts its sections there
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
        policy: Around a LeRobot ACT.
        dataset: LeRobotDataset folder.
        folder: Where the page goes.
        sections: Which; all if empty.
        frames: Of the dataset, spread over its episodes.
        scenes: Scenes of each kind to render, for those sections that want some.
        samples: For training sparse autoencoders.
        positions: Of the cube along each side of the work area, for sections that draw it at places of their choice.
        episodes: To act in, each way, for the section that measures success; it is left out at 0.
        reference: What `load_policy` calls the policy, needed to act.
        seed: Of everything random.
        command: The command line that made it.
        progress: Called with a section's name, its number and how many there are.

    Returns:
        The page's path. A section that cannot be made says why on the page.

    Raises:
        IncompatiblePolicyError: If the policy is no ACT.
        InvalidInputError: For an unknown section.
        InvalidFileError: If the dataset or the folder is of no use.
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
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    path = folder / PAGE
    write_text(path, template.render(page))
    return path


def _make(name: str, material: Material) -> Section | None:
    try:
        return _SECTIONS[name](material)
    except AutoArmError as error:
        # One method that has not what it needs must not cost the reader all the others.
        return Section(name.replace("-", " ").capitalize(), f"Left out: {error}", ())


def _kind(block: Block) -> str:
    return type(block).__name__.lower()
