"""A static site from a folder of results: rankings, a page for each policy, and comparisons of two."""
