"""What the benchmark measures, each in a process of its own: stochbind, and those it is compared with."""
