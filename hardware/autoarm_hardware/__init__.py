"""The real arm behind the contract of `gym_autoarm`, and its twin."""
