"""Persuasion: a sender commits to what it will say in each state; a receiver acts on what it then believes."""
