"""`autoarm interp`: look inside a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from autoarm.commands.interp.attention import Attention
from autoarm.commands.interp.explore import Explore
from autoarm.commands.interp.ood import Ood
from autoarm.commands.interp.report import Report
from autoarm.commands.interp.sae import Sae
from autoarm.commands.interp.sites import Sites

Command = (
    Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Attention, tyro.conf.subcommand("attention")]
    | Annotated[Sites, tyro.conf.subcommand("sites")]
    | Annotated[Sae, tyro.conf.subcommand("sae")]
    | Annotated[Explore, tyro.conf.subcommand("explore")]
    | Annotated[Ood, tyro.conf.subcommand("ood")]
)


@dataclass
class Interp:
    """Look inside a policy: where it looks, what it computes, and what can be captured and changed in it.

    Example: autoarm interp report act-five-spots outputs/demonstrations --out outputs/inside
    """

    command: tyro.conf.OmitSubcommandPrefixes[Command]

    def run(self) -> int:
        """Run the method."""
        return self.command.run()
