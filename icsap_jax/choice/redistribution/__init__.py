"""Redistribution: who values it most gets it, pays what that costs the others, and what they paid goes back to everybody."""
