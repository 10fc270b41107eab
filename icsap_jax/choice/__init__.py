"""Mechanisms without money, and with money that only moves among the agents: who gets what, who is served, where a thing stands."""
