"""Access to a policy: named sites, and reading and changing the values there."""
