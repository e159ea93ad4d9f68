"""Teleoperation: a leader arm, a keyboard or a gamepad drives the simulated arm, the real one, or its twin."""
