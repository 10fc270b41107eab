"""A principal who screens types by what they take."""
