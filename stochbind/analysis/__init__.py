"""From records to estimates, each with its exact value. Knows nothing of Zarr."""
