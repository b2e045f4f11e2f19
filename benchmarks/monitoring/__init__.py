"""How fast tables are compared and validated, beside the tools that do the same."""
