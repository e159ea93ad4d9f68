"""The subcommands: a dataclass of options each, whose `run` calls the function that Python users call too.

Nothing heavy is imported here, so that `autoarm --help` stays quick.
"""
