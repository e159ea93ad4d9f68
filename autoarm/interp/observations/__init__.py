"""Observations for a policy: frames of a dataset with labels, and rendered frames."""
