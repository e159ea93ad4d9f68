"""Figures of results: drawn in one style, each saved with the data it shows."""
