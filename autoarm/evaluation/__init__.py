"""Measure a policy: scenes in, rows out."""
