"""Voting: each voter alone knows how it orders the alternatives, and a rule chooses one, or a lottery."""
