"""A common resource from which each of many agents takes as much as it likes."""
