"""Contracts that nothing but their own future enforces."""
