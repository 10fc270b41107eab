"""Where facilities stand on a line, for agents of whom each alone knows where it lives."""
