"""Many alike actions, of one of which a receiver is persuaded."""
