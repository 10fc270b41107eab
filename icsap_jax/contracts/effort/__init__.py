"""Linear wages for effort that nobody sees."""
