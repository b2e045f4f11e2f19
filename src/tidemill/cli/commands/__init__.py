"""The commands, a file a group. Each imports what it needs when it runs."""
