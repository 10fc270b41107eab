"""One cuts, and the designer says who picks first."""
