"""Blocks from which pages are made, and how they become HTML and Markdown."""
