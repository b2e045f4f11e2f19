"""The protocols: each file translates one of them to the data plane and back, and does no more."""
