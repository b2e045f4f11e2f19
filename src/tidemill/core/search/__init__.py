"""The search grammar: text to a tree, with nothing of any table in it."""
