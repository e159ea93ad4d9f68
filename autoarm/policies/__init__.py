"""Policies: one protocol, LeRobot's policies behind it, and the baselines they are measured against."""
