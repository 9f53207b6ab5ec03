"""The base class of `Model`: hyper-parameters, named parameters, and workspace buffers.

Hyper-parameters follow scikit-learn's conventions: its `clone`, pipelines and searches work.
Training and prediction are in `model.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import KW_ONLY, dataclass
from functools import wraps
from math import log
from typing import Any, ClassVar, Self, TypeVar, cast

from ..backend import Array, namespace, noise, to_numpy
from ..backend.memory import Flat, Workspace
from ..data.batches import BINARIZE, to_float
from ..data.rows import UNLEARNED, RowFormat, check_scale
from ..errors import InputError, finite_number, whole_number
from ..files import torch_names
from ..nets import ACTIVATIONS, layer_shapes
from ..train.optim import check_training
from .estimator import Estimator, not_fitted
from .losses import LIKELIHOODS, output_with_mean

INITS = ("uniform", "glorot", "small")
CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "likelihood": LIKELIHOODS,
    "init": INITS,
    "binarize": BINARIZE,
    "dtype": ("float32", "float64"),
}
# hyper-parameters that must not change after `build`: they fix the parameters and their meaning
FIXED = ("latent_dim", "hidden", "activation", "likelihood", "x_variance", "dtype", "device")


Method = TypeVar("Method", bound=Callable[..., Any])


def reads(method: Method) -> Method:
    """Decorator for methods that read a model: they run on a view of it, for thread safety."""

    @wraps(method)
    def on_view(self: "Parametric", *args: Any, **named: Any) -> Any:
        return method(self.view(), *args, **named)

    return cast(Method, on_view)


@dataclass(eq=False, repr=False)
class Parametric(Estimator):
    """A scikit-learn estimator whose parameters are named views of one vector.

    latent_dim      number of latent units, Z
    hidden          widths of the encoder's hidden layers; the decoder has them in reverse
    activation      "relu", "tanh" or "softplus", after each hidden layer
    likelihood      "bernoulli", "continuous_bernoulli" (pixels in [0, 1]) or "gaussian" (any
                    numbers)
    x_variance      variance of the gaussian likelihood, one for all pixels; None: learned
    init            weights uniform in +-1/sqrt(fan in), as in PyTorch ("uniform"); or in
                    +-sqrt(6 / (fan in + fan out)), with zero biases ("glorot"); or from
                    N(0, 0.001^2), with zero biases ("small")
    bias_from_data  whether `fit` initialises the output bias so that the output is the mean pixel
    epochs, batch_size, lr, kl_warmup, kl_cycle, binarize, clip_norm
                    settings of training, see `scratchvae.train.Trainer`; arguments of `fit` with
                    the same names override them
    scale           how `fit` scales the data: "none"; "bytes" (divided by 255); "minmax" (to
                    [0, 1]); or "standard" (to mean 0 and standard deviation 1). Later data are
                    scaled in the same way, and decoded rows are scaled back. See `data/rows.py`,
                    also for uint8
    dtype           "float32" or "float64"
    device          "cpu" or "cuda"
    seed            seed of all random numbers, from 0 to 2**64 - 1

    Learned attributes end in an underscore: `n_features_` (width of the data), `rows_` (its shape,
    column names and scale, a `RowFormat`), `params_` (the named parameters, on the device),
    `history_` (one dict per epoch: the columns of metrics.csv).
    """

    latent_dim: int = 32
    hidden: Sequence[int] = (400,)
    activation: str = "relu"
    likelihood: str = "bernoulli"
    _: KW_ONLY
    x_variance: float | None = None
    init: str = "uniform"
    bias_from_data: bool = False
    scale: str = "none"
    epochs: int = 10
    batch_size: int = 128
    lr: float | Callable[[float], float] = 1e-3
    kl_warmup: float = 0
    kl_cycle: float = 0
    binarize: str = "none"
    clip_norm: float | None = None
    dtype: str = "float32"
    device: str = "cpu"
    seed: int = 0

    # PyTorch's names for the parts, each (H,Z), of the encoder's last layer
    heads: ClassVar[tuple[str, ...]] = ("fc_mu", "fc_logvar")

    # --------------------------------------------------------------------------- building

    def check_config(self) -> None:
        """Raises InputError for the first invalid hyper-parameter."""
        whole_number(self.latent_dim, "latent_dim")
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence):
            raise InputError(f"hidden must be layer widths such as (400,), got {self.hidden!r}")
        for width in self.hidden:
            whole_number(width, "each layer width in hidden")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        if self.x_variance is not None:
            finite_number(self.x_variance, "x_variance", above=0)
            if self.likelihood != "gaussian":
                raise InputError(f"x_variance does not apply to likelihood={self.likelihood!r}")
        check_scale(self.scale)
        whole_number(self.epochs, "epochs")
        check_training(self)
        noise.check_seed(self.seed)
        namespace(self.device)

    def build(self, n_features: int) -> Self:
        """Initialise the parameters, from the seed, for data of this width.

        Raises InputError for invalid hyper-parameters.
        """
        self._plan(n_features)
        self._allocate()
        self._initialise()
        return self

    def _allocate(self) -> None:
        """Allocate all parameters, as zeros. `_plan` must have been called."""
        xp = namespace(self.device)
        self._built = {name: getattr(self, name) for name in FIXED}
        self.params_ = Flat(self._shapes(), xp, self.dtype)
        self.history_: list[dict[str, float]] = []
        if self.x_variance is not None:
            value = xp.full(1, log(self.x_variance), dtype=self.dtype)
            self.params_.constants["x_logvar"] = value
        self._make_buffers()

    def _plan(self, n_features: int) -> None:
        """Validate the hyper-parameters and the width. Allocates nothing."""
        self.check_config()
        self.n_features_ = whole_number(n_features, "n_features")
        scale = self.scale if self.scale in ("none", "bytes") else UNLEARNED
        self.rows_ = RowFormat(self.n_features_, pixels=self.unit_interval, scale=scale)

    def _initialise(self) -> None:
        xp = self._ws.xp
        for i, prefix in enumerate(dict.fromkeys(prefix for prefix, _, _ in self._layers())):
            W, b = self.params_[f"{prefix}_W"], self.params_[f"{prefix}_b"]
            fan_in, width = W.shape
            key = {"seed": self.seed, "stream": noise.INIT, "step": i}
            if self.init == "small":
                W[...] = 0.001 * noise.normal(fan_in, width, **key, dtype=self.dtype, xp=xp)
                continue
            u = noise.uniform(fan_in + 1, width, **key, dtype=self.dtype, xp=xp)
            if self.init == "glorot":
                W[...] = (2 * u[:-1] - 1) * (6 / (fan_in + width)) ** 0.5
            else:
                u = (2 * u - 1) * fan_in**-0.5
                W[...], b[...] = u[:-1], u[-1]

    def _make_buffers(self) -> None:
        self._ws = Workspace(namespace(self.device), self.dtype)
        self._grads: Flat | None = None

    def _set_output_bias(self, X: Array) -> Self:
        if self.bias_from_data:
            mean = X.mean(axis=0, dtype="float64") / (255 if X.dtype == "uint8" else 1)
            bias = output_with_mean(mean, self.likelihood)
            self.params_.out_b[...] = self._ws.xp.asarray(bias)
        return self

    @property
    def xp(self) -> Any:
        """The array module of the parameters' device: numpy or cupy."""
        self._check_built()
        return self._ws.xp

    @property
    def workspace(self) -> Workspace:
        """The named buffers of `forward` and `backward`: those of a training run, or of a view."""
        return self._ws

    @property
    def gradients(self) -> Flat:
        """The gradients of a training step, one per parameter: views of one flat vector."""
        if self._grads is None:  # a model that only predicts needs none
            self._grads = self.params_.like(self._ws.xp)
        return self._grads

    @gradients.setter
    def gradients(self, flat: Flat) -> None:
        self._grads = flat

    def to_device(self, rows: Array, name: str, n: int | None = None) -> Array:
        """Copy rows from the host, as floating point, into the named buffer on the device.

        n > len(rows) pads them with rows of zeros.
        """
        out = self._ws(name, len(rows) if n is None else n, *rows.shape[1:])
        to_float(self._ws.xp.asarray(rows), out[: len(rows)])
        out[len(rows) :] = 0
        return out

    @property
    def widths(self) -> str:
        """The widths of the encoder's layers, such as "784-400-20"."""
        return "-".join(map(str, (self.n_features_, *self.hidden, self.latent_dim)))

    def view(self) -> Self:
        """This model with its own workspace: any number of threads can each use a view.

        A view shares the parameters, and keeps its first ones if `fit` replaces them.
        Every public method that reads a model computes in a view.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        if "params_" in view.__dict__:
            view._ws = Workspace(view._ws.xp, view.dtype)
            view._grads = None
        return view

    # a copy allocates its own buffers
    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_ws", "_grads")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "params_" in state:
            self._make_buffers()

    @property
    def _label_width(self) -> int:
        """Columns of a label, beside x for the encoder and beside z for the decoder."""
        return 0

    @property
    def unit_interval(self) -> bool:
        return self.likelihood != "gaussian"

    @property
    def noise_width(self) -> int:
        """The number of normal random numbers that forward reads per example."""
        return self.latent_dim

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters; weights are (fan in, fan out)."""
        D, Z, C = self.n_features_, self.latent_dim, self._label_width
        enc, dec = (D + C, *self.hidden), (Z + C, *reversed(self.hidden))
        width = len(self.heads) * Z
        variance_is_learned = self.likelihood == "gaussian" and self.x_variance is None
        return {
            **layer_shapes("enc", enc),
            "head_W": (enc[-1], width),
            "head_b": (width,),
            **layer_shapes("dec", dec),
            "out_W": (dec[-1], D),
            "out_b": (D,),
            **({"x_logvar": (1,)} if variance_is_learned else {}),
        }

    def _layers(self) -> list[torch_names.Layer]:
        return list(torch_names.layers(len(self.hidden), self.heads, self.latent_dim))

    def _check_built(self) -> None:
        if not hasattr(self, "params_"):
            name = type(self).__name__
            raise not_fitted(
                f"this {name} is not fitted yet: call fit, build or load_state_dict first, or load "
                "a saved one with load_model"
            )
        for name, value in self._built.items():
            if getattr(self, name) != value:
                raise InputError(
                    f"{name} was {value!r} when this {type(self).__name__} was built, but is now "
                    f"{getattr(self, name)!r}: call fit, or set it back"
                )

    # --------------------------------------------------------------------- PyTorch's names

    def state_dict(self, values: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Parameters, or gradients of `loss_and_grad`, under PyTorch's names; weights (out, in)."""
        self._check_built()
        return torch_names.to_torch(self._layers(), self.params_ if values is None else values)

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Load parameters from a mapping such as `state_dict` returns, of any array-likes.

        Builds the model for the width of the first layer; if that is unchanged, the format of its
        rows is kept. Raises InputError, and changes nothing, if a name is missing or unknown, a
        shape differs, or a value is not finite.
        """
        arrays = {name: to_numpy(a) for name, a in state.items()}
        new = copy(self)._build_for(arrays)
        if getattr(self, "n_features_", None) == new.n_features_:
            new.rows_ = self.rows_
        torch_names.from_torch(new._layers(), arrays, new.params_)
        self.__dict__.update(new.__dict__)
        return self

    def _build_for(self, arrays: Mapping[str, Array]) -> Self:
        return self.build(torch_names.width(self._layers()[0][1], arrays))
