"""Cost sharing: who is served of a service that costs something, and what each of them pays for it."""
