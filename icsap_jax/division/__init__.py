"""Cakes: things that can be cut, divided among agents who like different parts of them."""
