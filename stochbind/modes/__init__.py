"""Non-Hermitian modes: complex frequencies, exceptional points, rotating frames, localisation."""
