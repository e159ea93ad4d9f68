"""`autoarm doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Doctor:
    """Check this machine: versions, OpenGL, cameras, serial ports, disk, and how to mend what is missing.

    The exit code is 1 if there is a problem; warnings do not count.

    Example: autoarm doctor
    """

    json: bool = False
    """Print the findings as JSON."""

    def run(self) -> int:
        """Examine the machine and print what was found."""
        import json
        from dataclasses import asdict

        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from autoarm.doctor import examine

        with Console(stderr=True).status("examining this machine"):
            checks = examine()
        if self.json:
            print(json.dumps([asdict(check) for check in checks], indent=1))
        else:
            styles = {"ok": "green", "warning": "yellow", "problem": "bold red"}
            table = Table(box=None, show_header=False, padding=(0, 1))
            for check in checks:
                text = Text(check.message)
                if check.cure is not None:
                    text.append(f"\nto mend it: {check.cure}", style="bold")
                table.add_row(Text(check.status, style=styles[check.status]), check.name, text)
            Console().print(table)
        return int(any(check.status == "problem" for check in checks))
