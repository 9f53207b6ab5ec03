"""A model as a safetensors file, which PyTorch and others read: its weights by PyTorch's names.

Beside them stands one JSON text, the `scratchvae` of the file's metadata: what else the model is,
and a sum that shows damage, which the format itself does not. A file without it is read where it
holds the weights of the plain PyTorch module that `torch_names.py` describes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DAMAGE, CheckpointError, InputError
from ..models import VAE, Model, torch_names
from ..models.saved import describe, planned
from .atomic import write_atomically
from .npz import Refused, open_at_once, regular

SUFFIX = ".safetensors"
KEY, VERSION = "scratchvae", 1
MOST_HEADER = 1 << 20  # bytes of names, shapes and metadata; reading them takes up to 20 times that
DTYPES = {"float32": "F32", "float64": "F64"}  # our names and the format's

Held = Mapping[str, tuple[str, tuple[int, ...]]]  # dtype and shape of each tensor of a file


def save(model: Model, path: Path) -> None:
    """Write parameters, hyper-parameters and classes, all or nothing; the same bytes each time.

    Raises InputError where safetensors is not installed.
    """
    package()
    from safetensors.numpy import save as as_bytes

    # the writer takes an array's memory as it lies, whatever its strides
    state = {name: np.ascontiguousarray(a) for name, a in model.state_dict().items()}
    text = json.dumps(describe(model) | {"version": VERSION}, default=lambda scalar: scalar.item())
    about = json.loads(text)
    sums = {name: checksum(a) for name, a in state.items()}
    text = json.dumps(about | {"sha256": checksum(about, sums)})
    if len(text) > MOST_HEADER // 2:
        raise InputError(f"the model has too many labels for a {SUFFIX} file: save it as .npz")
    data = as_bytes(state, {KEY: text})
    write_atomically(path, lambda f: f.write(data))


def load(path: Path, device: str | None = None) -> Model:
    """The model in a file of `save`, or the VAE whose plain PyTorch weights a file holds.

    device: as it was, if None. Raises CheckpointError for all other files; names, dtypes and shapes
    are compared with what the model needs before memory is taken for either.
    """
    safetensors = package()
    with refusing(path, safetensors.SafetensorError):
        with open_at_once(path) as f:
            regular(f)  # the package would wait for a pipe's other end
            header = int.from_bytes(f.read(8), "little")
        if header > MOST_HEADER:
            raise InputError(f"it is no {SUFFIX} file, or one with too long a header")
        with safetensors.safe_open(path, framework="numpy") as f:
            slices = {name: f.get_slice(name) for name in f.keys()}
            held = {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
            metadata = f.metadata() or {}
            about = metadata.get(KEY)
            if about is None and (odd := metadata.keys() - {"format"}):  # perhaps KEY, damaged
                raise InputError(f"its metadata has {min(odd)!r}, and no {KEY!r}")
            about = inferred(held) if about is None else read_about(about)
            total = about.pop("sha256", None)
            model = planned(about, len(held), device)
            compare(held, torch_names.shapes(model._layers(), model._shapes()), model.dtype)
            sums: dict[str, str] = {}

            def tensor(name: str) -> np.ndarray:
                a = f.get_tensor(name)
                if not np.isfinite(a).all():
                    raise InputError(f"{name} holds a NaN or an infinity: train again")
                sums[name] = checksum(a)
                return a

            model._allocate()
            torch_names.write(model._layers(), tensor, model.params_)
    if "version" in about and total != checksum(about, sums):
        raise CheckpointError(
            f"{path} is not as it was written: it is damaged, or somebody changed it and kept the "
            f"{KEY!r} of its metadata"
        )
    return model


def package() -> Any:
    """safetensors, or InputError where it is not installed."""
    try:
        import safetensors
    except ImportError:
        raise InputError(
            f"{SUFFIX} files need safetensors, which is not installed: "
            "pip install 'scratchvae[safetensors]'"
        ) from None
    return safetensors


@contextmanager
def refusing(path: Path, own: type[Exception]) -> Iterator[None]:
    """Whatever reading a file may raise becomes one sentence; own: the package's error."""
    try:
        yield
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Refused as reason:
        raise CheckpointError(f"{path} {reason}") from None
    except (own, *DAMAGE) as damage:
        if isinstance(damage, OSError) and damage.strerror:
            raise CheckpointError(f"{path} cannot be read: {damage.strerror}") from None
        raise CheckpointError(
            f"{path} is not a readable {SUFFIX} file: it is damaged, or of another kind"
        ) from None


def checksum(a: Any, *rest: Any) -> str:
    """Of an array's bytes, little-endian, or of things that JSON can hold."""
    if isinstance(a, np.ndarray):
        return sha256(a.astype(a.dtype.newbyteorder("<"), copy=False)).hexdigest()
    return sha256(json.dumps([a, *rest], sort_keys=True).encode()).hexdigest()


def read_about(text: str) -> dict[str, Any]:
    """The description in the metadata; InputError where it is none, or of another version."""
    about = json.loads(text)
    if not isinstance(about, dict) or "version" not in about:
        raise InputError(f"the {KEY!r} of its metadata describes no model")
    if about["version"] != VERSION:
        raise InputError(
            f"it has version {about['version']!r}, but this scratchvae reads {VERSION}: use the "
            "scratchvae that wrote it"
        )
    return about


def inferred(held: Held) -> dict[str, Any]:
    """The description of a VAE, from the shapes of its weights; InputError if they are none."""
    hidden = sum(name.startswith("encoder.") and name.endswith(".weight") for name in held)
    shapes = [
        held.get(f"{layer}.weight", ("", ()))[1]
        for own, layer, _ in torch_names.layers(hidden, VAE.heads, 0)
    ]
    if any(len(shape) != 2 for shape in shapes):
        raise InputError(
            f"it has no {KEY!r} in its metadata, and is not the plain VAE that is read without: "
            f"encoder.1, encoder.3, ..., {', '.join(VAE.heads)}, decoder.0, decoder.2, ..., each "
            "with weight and bias"
        )
    config = {
        "latent_dim": shapes[hidden][0],
        "hidden": [out for out, _ in shapes[:hidden]],
        "dtype": "float64" if held[f"{VAE.heads[0]}.weight"][0] == "F64" else "float32",
        "likelihood": "gaussian" if "x_logvar" in held else "bernoulli",
    }
    return {"model": "vae", "config": config, "n_features": shapes[0][1]}


def compare(held: Held, wanted: Mapping[str, tuple[int, ...]], dtype: str) -> None:
    """InputError unless the file holds what the model needs, and nothing else."""
    if odd := sorted(held.keys() ^ wanted.keys()):
        more = ", ..." if len(odd) > 3 else ""
        raise InputError(f"it and its model do not both have {', '.join(odd[:3])}{more}")
    for name, shape in wanted.items():
        if held[name] != (DTYPES[dtype], shape):
            found = "{} of shape {}".format(*held[name])
            raise InputError(f"{name} is {found}, but the model has {DTYPES[dtype]} of {shape}")
