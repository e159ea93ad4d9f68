"""What was measured: a result, its rows, their journal, the platform."""
