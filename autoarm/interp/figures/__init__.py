"""Figures of what the methods found."""
