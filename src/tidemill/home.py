"""Opens a home and builds every room: the only file that names concrete parts."""
