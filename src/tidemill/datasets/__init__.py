"""Dataset versions, contracts, validation and profiles."""
