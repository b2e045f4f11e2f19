"""Moving in and out: what other systems keep, and the whole home as plain files."""
