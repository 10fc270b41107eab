"""Several receivers, told in private or in public."""
