"""Gaussian quantum states of trapped particles: their motion, what is measured of it, and what feedback makes of it."""
