"""A receiver who remembers every signal, and a state that may drift."""
