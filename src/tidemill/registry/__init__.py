"""Models, versions, aliases, approvals, and what was live when."""
