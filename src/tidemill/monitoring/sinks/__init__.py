"""Where messages go: one sink a file, each a plugin with a `PLUGIN` that opens it."""
