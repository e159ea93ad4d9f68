"""The report on one policy: a section a module."""
