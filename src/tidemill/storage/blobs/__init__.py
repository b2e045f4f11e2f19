"""Content-addressed bytes, one file per backend."""
