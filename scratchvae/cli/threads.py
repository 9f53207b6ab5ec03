"""The threads of the linear algebra (BLAS): each library reads their number when it loads."""

VARIABLES = (  # OpenBLAS, which NumPy's wheels contain, and the others that NumPy may be built with
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)  # fmt: skip


def environment(n: int) -> dict[str, str]:
    """The variables that give a process n threads, to be set before it imports NumPy."""
    return dict.fromkeys(VARIABLES, str(n))
