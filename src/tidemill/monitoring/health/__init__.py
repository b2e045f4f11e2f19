"""How the machine and the processes on it fare: sampled, and kept for weeks in constant space."""
