"""Permanent deletion: what was deleted long ago, and the space that nothing needs any more."""
