"""The corridor: the append-only list of facts, and subscriptions to it."""
