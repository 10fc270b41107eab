"""A population of learners and imitators."""
