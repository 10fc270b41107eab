"""`python -m icsap_jax` is the command `icsap`, from a checkout, without installation."""

from __future__ import annotations

from icsap_jax.cli import main

if __name__ == "__main__":
    main()
