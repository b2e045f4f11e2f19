"""How often drift monitors alarm where nothing drifts, and how soon where something does."""
