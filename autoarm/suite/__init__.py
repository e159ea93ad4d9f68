"""What is measured: suites as YAML, and the scenes drawn from them."""
