"""How the simulated arm must be tuned to answer as a given one does: `autoarm twin-check`."""
