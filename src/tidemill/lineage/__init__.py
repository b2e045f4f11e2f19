"""Edges between references, and questions over them. Knows references, never rooms."""
