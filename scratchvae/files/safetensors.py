"""(meta, tensors) in one .safetensors file, the format of PyTorch and other libraries.

meta is JSON text under the key `scratchvae` of the file's metadata, with a checksum, which the
format itself lacks. Files of other programs, without this key, can be opened too.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, InputError
from .atomic import write_atomically
from .reading import open_at_once, refusing, regular

SUFFIX = ".safetensors"
KEY, VERSION, READABLE = "scratchvae", 2, (1, 2)
MAX_HEADER = 1 << 20  # bytes of names, shapes and metadata; reading needs up to 20 times as much
DTYPES = {"F32": "float32", "F64": "float64"}  # NumPy's names of the format's dtypes


def write(path: Path, meta: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Write one file atomically; the same content gives the same bytes.

    Raises InputError if safetensors is not installed, or meta is too long.
    """
    package()
    from safetensors.numpy import save as as_bytes

    # the writer copies an array's memory and ignores its strides
    tensors = {name: np.ascontiguousarray(a) for name, a in tensors.items()}
    text = json.dumps({**meta, "version": VERSION}, default=lambda scalar: scalar.item())
    about = json.loads(text)
    sums = {name: _checksum(a) for name, a in tensors.items()}
    text = json.dumps(about | {"sha256": _checksum(about, sums)})
    if len(text) > MAX_HEADER // 2:
        raise InputError(
            f"the model has too many labels or columns for a {SUFFIX} file: save it as .npz"
        )
    data = as_bytes(tensors, {KEY: text})
    write_atomically(path, lambda f: f.write(data))


class Opened:
    """An open file: its meta (None if it has none), and dtype and shape of each tensor."""

    def __init__(self, file: Any) -> None:
        self._file = file
        slices = {name: file.get_slice(name) for name in file.keys()}
        self.tensors: dict[str, tuple[str, tuple[int, ...]]] = {
            name: (DTYPES.get(s.get_dtype(), s.get_dtype()), tuple(s.get_shape()))
            for name, s in slices.items()
        }
        metadata = file.metadata() or {}
        text = metadata.get(KEY)
        if text is None and (odd := metadata.keys() - {"format"}):  # perhaps KEY, damaged
            raise InputError(f"its metadata has {min(odd)!r}, but no {KEY!r}")
        self.meta = None if text is None else _read_meta(text)
        self._total = None if self.meta is None else self.meta.pop("sha256", None)
        self._sums: dict[str, str] = {}

    def read(self, name: str) -> np.ndarray:
        """Read one tensor. Raises InputError if a value is not finite."""
        a: np.ndarray = self._file.get_tensor(name)
        if not np.isfinite(a).all():
            raise InputError(f"{name} holds a NaN or an infinity: train again")
        self._sums[name] = _checksum(a)
        return a

    @property
    def intact(self) -> bool:
        """Whether meta and the tensors read so far match the checksum; True without meta."""
        return self.meta is None or self._total == _checksum(self.meta, self._sums)


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Context manager: the open file. Errors inside become one sentence with the file's name.

    Raises CheckpointError if it cannot be read, InputError if safetensors is not installed.
    """
    safetensors = package()
    with refusing(path, CheckpointError, safetensors.SafetensorError):
        with open_at_once(path) as f:
            regular(f)  # the package would block on a pipe
            header = int.from_bytes(f.read(8), "little")
        if header > MAX_HEADER:
            raise InputError(f"it is not a {SUFFIX} file, or its header is too long")
        with safetensors.safe_open(path, framework="numpy") as f:
            yield Opened(f)


def package() -> Any:
    """The module safetensors. Raises InputError if it is not installed."""
    try:
        import safetensors
    except ImportError:
        raise InputError(
            f"{SUFFIX} files need safetensors, which is not installed: "
            "pip install 'scratchvae[safetensors]'"
        ) from None
    return safetensors


def _checksum(a: Any, *rest: Any) -> str:
    """The SHA-256 of an array's little-endian bytes, or of JSON values."""
    from hashlib import sha256  # lazily: it loads OpenSSL

    if isinstance(a, np.ndarray):
        return sha256(a.astype(a.dtype.newbyteorder("<"), copy=False)).hexdigest()
    return sha256(json.dumps([a, *rest], sort_keys=True).encode()).hexdigest()


def _read_meta(text: str) -> dict[str, Any]:
    """Parse meta. Raises InputError if it is invalid or of another version."""
    meta = json.loads(text)
    if not isinstance(meta, dict) or "version" not in meta:
        raise InputError(f"the {KEY!r} of its metadata does not describe a model")
    if meta["version"] not in READABLE:
        raise InputError(
            f"it has version {meta['version']!r}, but this scratchvae reads "
            f"{' and '.join(map(str, READABLE))}: use the scratchvae that wrote it"
        )
    return meta
