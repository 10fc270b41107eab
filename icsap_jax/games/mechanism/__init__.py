"""Mechanisms that run a game's best joint policy for what agents report about their rewards, and charge them for it."""
