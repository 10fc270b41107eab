"""The shared core: draw, decide, respond, measure the gap, descend. It knows no domain."""
