"""Look inside a policy: each method gives arrays first and pictures second."""
