"""How fast the data plane answers, and what its HTTP server costs."""
