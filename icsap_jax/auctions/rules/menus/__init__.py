"""A menu for a lone bidder, which picks the entry it likes best: strategyproof, and every strategyproof rule for one bidder is such a
menu (Rochet 1987)."""
