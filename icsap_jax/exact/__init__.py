"""Exact methods in float64 that know no domain: linear programmes and what is built on them. Nothing here learns or needs jax."""
