"""A Gaussian state and quadratic payoffs."""
