"""One script a tool; each runs in an environment of its own, made by uv."""
