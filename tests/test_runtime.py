"""What must be set before anything is compiled, and what results say about the machine."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import runtime
from icsap_jax.config import ConfigError


@pytest.fixture
def settings():
    """jax's settings are put back."""
    names = ("jax_default_matmul_precision", "jax_platforms", "jax_default_device", "jax_compilation_cache_dir",
             "jax_persistent_cache_min_compile_time_secs")  # fmt: skip
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_an_accelerator_that_is_absent_is_said(device: str) -> None:
    """The option is named, and nothing is computed elsewhere in its place; the settings stay as they were, though jax has started."""
    assert jax.devices()[0].platform == "cpu"
    before = jax.config.jax_platforms, jax.config.jax_default_device
    with pytest.raises(ConfigError, match=f"--device {device}: jax sees only cpu on this machine"):
        runtime.prepare(device)
    assert (jax.config.jax_platforms, jax.config.jax_default_device) == before


@pytest.mark.usefixtures("settings")
def test_a_device_that_is_there_is_used() -> None:
    """The CPU always is."""
    runtime.prepare("cpu")
    assert jax.config.jax_default_device.platform == "cpu"
    assert runtime.device_name() == "cpu"


@pytest.mark.usefixtures("settings")
def test_matrices_are_multiplied_in_full_float32() -> None:
    """Accelerators default to less, which would be measured as incentive gaps: every program asks for float32."""
    jax.config.update("jax_default_matmul_precision", None)
    assert precision_of_a_product() is None
    runtime.prepare()
    assert jax.config.jax_default_matmul_precision == "float32"
    assert set(precision_of_a_product()) == {jax.lax.Precision.HIGHEST}


def precision_of_a_product():
    """What a program traced now asks for."""
    square = np.ones((4, 4), np.float32)
    (product,) = [each for each in jax.make_jaxpr(lambda a: jnp.matmul(a, a))(square).eqns if each.primitive.name == "dot_general"]
    return product.params["precision"]


@pytest.mark.usefixtures("settings")
def test_compiled_code_is_kept_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Under XDG_CACHE_HOME; a folder jax was told of already stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    runtime.prepare()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "icsap_jax" / "compiled")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    runtime.prepare()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")


def test_versions_name_what_decides_the_numbers() -> None:
    """Of the libraries that are running, not of others that are installed."""
    found = runtime.versions()
    assert (found["jax"], found["numpy"]) == (jax.__version__, np.__version__)
    assert set(found) == {"python", "icsap-jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy"}
    assert "unknown" not in found.values()
