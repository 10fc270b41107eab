"""Games: rules for a society of agents who respond to each other."""
