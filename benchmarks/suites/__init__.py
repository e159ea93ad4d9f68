"""Suites: what a benchmark measures, as YAML. Read them through `importlib.resources`."""
