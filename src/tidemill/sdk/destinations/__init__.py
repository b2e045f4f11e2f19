"""Where the runs go that a user's own program starts: a home, its server, or a spool on disk."""
