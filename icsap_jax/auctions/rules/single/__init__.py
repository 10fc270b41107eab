"""One item and monotone virtual values: the auction that Myerson (1981) describes, learned."""
