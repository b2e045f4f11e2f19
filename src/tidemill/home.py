"""Opens a home and builds every room with explicit arguments: the only file that names concrete parts."""
