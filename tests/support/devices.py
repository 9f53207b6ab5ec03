"""CuPy on a real GPU, where there is one."""

import pytest


def real_cupy():
    """CuPy, where there is a GPU; else the test is skipped."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cupy.is_available():
        pytest.skip("there is no GPU")
    return cupy
