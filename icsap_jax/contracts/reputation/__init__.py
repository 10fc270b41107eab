"""Incentives that work through reputation."""
