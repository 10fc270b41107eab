"""Settings of the process that must be right before anything is compiled: device, precision of matrix products, compiled-code cache."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from icsap_jax.config import ConfigError


def prepare(device: str | None = None) -> None:
    """Use `device` (cpu, gpu, tpu; None: what jax finds), multiply matrices in full float32 (accelerators default to less, which
    would be measured as incentive gaps), and keep compiled code between processes. Raises ConfigError when the device is absent."""
    import jax

    if device == "cpu":
        # An accelerator that is not to be used is not opened, which would take its memory. Too late once jax has looked for one.
        jax.config.update("jax_platforms", "cpu")
    try:
        there = jax.devices()
    except RuntimeError as error:  # JAX_PLATFORMS asks for what is not there
        raise ConfigError(f"jax finds no device to compute on ({str(error).splitlines()[0]}); look at the variable "
                          "JAX_PLATFORMS.") from None
    try:
        found = jax.devices(device)
    except RuntimeError:
        seen = ", ".join(sorted({each.platform for each in there}))
        raise ConfigError(f"--device {device}: jax sees only {seen} on this machine; install the jax for your accelerator (for example "
                          "jax[cuda12]), or leave --device out.") from None
    if device is not None:
        jax.config.update("jax_default_device", found[0])
    jax.config.update("jax_default_matmul_precision", "float32")
    if not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "icsap_jax" / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def device_name() -> str:
    """The kind of device programs run on, as results record it."""
    import jax.numpy as jnp

    (device,) = jnp.zeros(()).devices()
    return device.platform if device.platform == "cpu" else f"{device.platform} ({device.device_kind})"


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    import platform

    names = ("icsap-jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            from icsap_jax import __version__

            found[name] = __version__ if name == "icsap-jax" else "unknown"
    return found
