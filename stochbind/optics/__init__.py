"""Light and matter: SI numbers in, forces, couplings and recoil noise out. Pure functions."""
