"""How trajectories are made: noise, kernels, solvers, plans, stores and ensembles. Knows no physics."""
