"""One rule for every cake: tastes in, shares out."""
