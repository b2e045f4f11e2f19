"""The demonstration: the closed loop over a recorded year of flights."""
