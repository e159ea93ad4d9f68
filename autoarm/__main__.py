"""`python -m autoarm`: the command line."""

from autoarm.cli import main

main()
