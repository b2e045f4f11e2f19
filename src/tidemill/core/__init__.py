"""The floor: what every room may know. Touches no disk, no clock and no heavy library."""
