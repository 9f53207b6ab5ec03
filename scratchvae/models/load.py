"""Load models from files, which are not trusted.

The metadata is JSON: the kind of model, its hyper-parameters, the width of its data, its classes.
Forged metadata could ask for any amount of memory, so the shapes of the parameters are computed
and compared with the file's tensors before the parameters are allocated.
"""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..backend import Array, array_module
from ..data.labels import read_classes
from ..data.rows import RowFormat
from ..errors import CheckpointError, CheckpointWarning, DamagedError, InputError
from ..files import checkpoint, safetensors, torch_names
from ..files.home import expanded
from ..files.reading import refusing
from ..files.run_folder import NEWEST, candidates
from ..train.optim import TRAINING
from ..train.snapshot import history_of
from .autoencoder import Autoencoder
from .cvae import ConditionalVAE
from .iwae import IWAE
from .labelled import Labelled
from .m2 import SemiSupervisedVAE
from .model import Model
from .vae import VAE

MODELS: dict[str, type[Model]] = {
    cls.kind: cls for cls in (Autoencoder, VAE, IWAE, ConditionalVAE, SemiSupervisedVAE)
}
HYPERPARAMETERS = {"model", *(name for cls in MODELS.values() for name in cls._names())}
RUN_ARRAYS = {  # arrays of the optimiser, the epoch and the animation: kind of dtype, ndim
    **{"adam_m": ("f", 1), "adam_v": ("f", 1), "sums": ("f", 1)},
    **{"film_epochs": ("i", 1), "film": ("u", 3)},
}


# files of other programs by their ending, and how to use their weights here
_BY_HAND = "pass them to load_state_dict under the names and in the shapes of state_dict()"
_PYTORCH = (
    "is a PyTorch file, and reading it can run code: in PyTorch, write the weights with "
    "safetensors.torch.save_file(model.state_dict(), 'm.safetensors'), and load that file"
)
_PICKLE = (
    "is a pickle, and reading it can run code: if you trust it, open it with pickle or joblib, and "
    "save the model with model.save('m.npz')"
)
_KERAS = f"in Keras, take the arrays from model.get_weights(), and {_BY_HAND}"
_HDF5 = (
    "is an HDF5 file, not a saved model: if it holds data, read them with "
    f"load_data (--data); if it holds Keras weights, {_KERAS}"
)
FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _PYTORCH),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".h5", ".hdf5"), _HDF5),
    ".keras": f"is a Keras file: {_KERAS}",
    ".onnx": f"is an ONNX graph: read its arrays with onnx.numpy_helper.to_array, and {_BY_HAND}",
}


class Loaded(NamedTuple):
    """The content of a file; `run` and `arrays` are empty if it holds no training run."""

    model: Model
    run: dict[str, Any]  # numbers and settings of the run, and the version of their format
    arrays: dict[str, Any]  # arrays of the run


def load_model(path: str | Path, device: str | None = None) -> Model:
    """Load the model from a file that `save` wrote, or from the folder of a run.

    device defaults to the saved one. If the newest checkpoint of a folder is damaged, this warns
    and loads the newest intact one. A `.safetensors` file can also hold the plain PyTorch weights
    of a `VAE`. Raises CheckpointError if the file is missing, damaged, of another version, or
    inconsistent.
    """
    return load(path, device).model


def load(path: str | Path, device: str | None = None) -> Loaded:
    """Like `load_model`, with the state of the training run."""
    return load_newest(Path(expanded(path)), device)[1]


def load_newest(path: Path, device: str | None = None) -> tuple[Path, Loaded]:
    """The path and content of a file, or of the newest intact checkpoint in a folder."""
    if not path.is_dir():
        return path, _load(path, device)
    paths = candidates(path)
    if not paths:
        raise CheckpointError(f"{path} holds no run: it has no {NEWEST}")
    try:
        return paths[0], _load(paths[0], device)
    except DamagedError as error:
        damage = error
    found: tuple[Path, Loaded] | None = None
    for file in paths[1:]:
        with suppress(CheckpointError):
            loaded = _load(file, device)
            if found is None or _step(loaded) > _step(found[1]):
                found = file, loaded
    if found is None:
        others = f", and so are the {len(paths) - 1} others there" if paths[1:] else ""
        raise DamagedError(f"{damage}{others}: start again with --overwrite, or another --out")
    # attributed to the line that called `load_model`
    warnings.warn(f"{damage}; {found[0].name} is used instead", CheckpointWarning, 4)
    return found


def _step(loaded: Loaded) -> int:
    """The training step of a checkpoint; -1 if unknown."""
    step = loaded.run.get("step")
    return step if isinstance(step, int) else -1


def _load(path: Path, device: str | None) -> Loaded:
    if not path.exists():
        raise CheckpointError(f"there is no run or saved model {path}: check the path")
    suffix = path.suffix.lower()
    if suffix == safetensors.SUFFIX:
        return Loaded(_from_safetensors(path, device), {}, {})
    try:
        meta, arrays = checkpoint.read(path)
    except DamagedError:
        if suffix in FOREIGN:  # and none that an earlier `save` gave this name
            raise CheckpointError(f"{path} {FOREIGN[suffix]}") from None
        raise
    with refusing(path, DamagedError):
        model = _from_checkpoint(path, meta, arrays, device)
        model.history_ = history_of(meta["history"])
        run = dict(meta["run"])
        if meta["version"] < 4 and isinstance(settings := run.get("settings"), dict):
            # earlier versions stored hyper-parameters of training there; before version 3 also the
            # model's, but those of its own metadata are used
            trained = {n: v for n, v in settings.items() if n in ("epochs", *TRAINING)}
            model.set_params(**trained).check_config()
            run["settings"] = {n: v for n, v in settings.items() if n not in HYPERPARAMETERS}
    for name, a in arrays.items():
        if name not in RUN_ARRAYS:
            raise DamagedError(f"{path} holds an unknown array {name}")
        kind, ndim = RUN_ARRAYS[name]
        if a.dtype.kind != kind or a.ndim != ndim or not array_module(a).isfinite(a).all():
            raise DamagedError(
                f"{path}: {name} has the wrong dtype or number of dimensions, or holds a NaN or an "
                "infinity"
            )
    return Loaded(model, run and run | {"version": meta["version"]}, arrays)


def _from_checkpoint(
    path: Path, meta: dict[str, Any], arrays: dict[str, Array], device: str | None
) -> Model:
    """The model that `meta` describes, with its parameters, which are removed from `arrays`."""
    own = {n.removeprefix("param/"): arrays.pop(n) for n in [*arrays] if n.startswith("param/")}
    try:
        model = planned(meta, len(own), device)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None
    found = {name: (str(a.dtype), a.shape) for name, a in own.items()}
    if reason := torch_names.misfit(found, model._shapes(), model.dtype):
        raise DamagedError(f"{path}: {reason}")
    for name, a in own.items():
        if not array_module(a).isfinite(a).all():
            raise DamagedError(f"{path}: {name} holds a NaN or an infinity: train again")
    model._allocate()
    for name, a in own.items():
        model.params_[name][...] = model.xp.asarray(a)
    return model


def _from_safetensors(path: Path, device: str | None) -> Model:
    """The model in a file of `save`, or a VAE from plain PyTorch weights."""
    with safetensors.opened(path) as f:
        meta = inferred(f.tensors) if f.meta is None else f.meta
        model = planned(meta, len(f.tensors), device)
        wanted = torch_names.shapes(model._layers(), model._shapes())
        if reason := torch_names.misfit(f.tensors, wanted, model.dtype):
            raise InputError(reason)
        model._allocate()
        torch_names.write(model._layers(), f.read, model.params_)
        if not f.intact:
            raise CheckpointError(
                f"{path} does not match its checksum: it is damaged, or was edited without "
                f"removing {safetensors.KEY!r} from its metadata"
            )
    return model


def planned(about: Mapping[str, Any], tensors: int, device: str | None = None) -> Model:
    """The model that the metadata `about` describes, validated, without allocated parameters.

    tensors is the number of tensors in the file, an upper bound of the number of layers. device
    defaults to the described one. Raises InputError if the metadata describe no valid model.
    """
    kind, config = about.get("model"), about.get("config")
    if not isinstance(kind, str) or kind not in MODELS:
        raise InputError(f"unknown kind of model {kind!r}: the kinds are {', '.join(MODELS)}")
    if not isinstance(config, dict):
        raise InputError(f"the hyper-parameters must map names to values, got {config!r}")
    if odd := sorted(config.keys() - set(MODELS[kind]._names())):
        raise InputError(f"a {MODELS[kind].__name__} has no hyper-parameter {', '.join(odd)}")
    hidden = config.get("hidden")
    if not isinstance(hidden, list) or len(hidden) > tensors:
        raise InputError("hidden is not a list of layer widths, or has more layers than the file")
    config = config | {"hidden": tuple(hidden)} | ({} if device is None else {"device": device})
    model = MODELS[kind](**config)
    if isinstance(model, Labelled):
        model.classes_ = read_classes(about.get("classes"))
    width: Any = about.get("n_features")
    model._plan(width)
    if "rows" in about:
        model.rows_ = RowFormat.read(about["rows"], model.n_features_)
    elif "version" in about:  # an earlier version, which divided all uint8 by 255
        model.rows_ = RowFormat(model.n_features_, pixels=True)
    return model


def inferred(tensors: torch_names.Kinds) -> dict[str, Any]:
    """The metadata of a VAE with these PyTorch tensors. Raises InputError if no VAE fits them."""
    hidden = sum(name.startswith("encoder.") and name.endswith(".weight") for name in tensors)
    shapes = [
        tensors.get(f"{layer}.weight", ("", ()))[1]
        for own, layer, _ in torch_names.layers(hidden, VAE.heads, 0)
    ]
    if any(len(shape) != 2 for shape in shapes):
        raise InputError(
            f"it has no {safetensors.KEY!r} in its metadata and does not hold the layers of a "
            f"plain VAE: encoder.1, encoder.3, ..., {', '.join(VAE.heads)}, decoder.0, decoder.2, "
            "..., each with weight and bias"
        )
    config = {
        "latent_dim": shapes[hidden][0],
        "hidden": [out for out, _ in shapes[:hidden]],
        "dtype": "float64" if tensors[f"{VAE.heads[0]}.weight"][0] == "float64" else "float32",
        "likelihood": "gaussian" if "x_logvar" in tensors else "bernoulli",
    }
    return {"model": VAE.kind, "config": config, "n_features": shapes[0][1]}
