"""Auctions: bidders with private values for items; a rule that allocates and charges."""
