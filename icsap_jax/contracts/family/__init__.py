"""One network for a whole population of hidden-action problems."""
