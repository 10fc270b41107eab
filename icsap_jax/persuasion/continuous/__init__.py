"""A state on an interval, and receivers who care for its mean."""
