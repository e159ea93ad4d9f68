"""How unusual an observation is to a policy."""
