"""A static site from a folder of results: rankings, a page a policy, comparisons."""
