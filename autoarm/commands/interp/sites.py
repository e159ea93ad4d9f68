"""`autoarm interp sites`."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from autoarm.commands.arguments import PolicyName


@dataclass
class Sites:
    """List the places in a policy whose values can be captured, and with which axes.

    Example: autoarm interp sites act-five-spots
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder of LeRobot's ACT, or a shipped policy."""

    def run(self) -> int:
        """Print them in the order of a forward pass."""
        from autoarm.commands.interp.loading import load_act
        from autoarm.interp.model.sites import sites

        for name, site in sites(load_act(self.policy).policy).items():
            print(f"{name:<36} {', '.join(site.axes)}{'' if site.editable else '  (read only)'}")
        return 0
