"""Affine maximisers for many bidders: strategyproof and individually rational whatever their weights, boosts and allocations."""
