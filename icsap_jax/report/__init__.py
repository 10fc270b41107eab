"""What a run looks like: pictures of it that hold for every domain. The look is set in `icsap_jax.figures`."""
