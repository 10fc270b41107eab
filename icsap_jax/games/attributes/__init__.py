"""Attributes of the world that somebody values, of which an objective sees only some."""
