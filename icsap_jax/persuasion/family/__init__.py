"""One network for a whole population of persuasion games."""
