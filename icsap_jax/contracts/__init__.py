"""Contracts: what to pay an agent whose action, or whose type, the principal cannot see."""
