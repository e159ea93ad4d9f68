"""Methods: each takes a policy and observations, and returns arrays."""
