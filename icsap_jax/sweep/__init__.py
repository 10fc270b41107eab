"""Sweeps: one problem file and lists of what to vary, trained together, and nothing of it lost."""
