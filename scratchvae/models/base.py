"""The door: what users call, the same for every model.

Arrays are checked here, once, with a sentence that says what is wrong; they go to the device and
come back as NumPy copies. Behind it stand a model's `forward` and `backward`, which trust what they
get.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from .. import noise, ops, torch_names
from ..backend import Array, namespace, to_numpy
from ..data.batches import check_codes, check_images, chunks, to_float
from ..errors import InputError, finite_number, whole_number
from ..memory import Flat, Workspace
from ..nets import ACTIVATIONS, layer_shapes

LIKELIHOODS = ("bernoulli", "gaussian")
DTYPES = ("float32", "float64")
CHUNK = 500  # rows at a time where a whole data set passes through


class Model:
    """What all models share: hyper-parameters, memory, and the calls that users make.

    latent_dim    number of latent units, Z
    hidden        widths of the encoder's hidden layers; the decoder has them in reverse
    activation    "relu", "tanh" or "softplus", between layers
    likelihood    "bernoulli" (pixels in [0, 1]) or "gaussian" (any numbers; learned noise level)
    beta          weight of the KL term (1 is the evidence lower bound; others: Higgins et al. 2017)
    dtype         "float32" or "float64"
    device        "cpu" or "cuda"
    seed          the key of all randomness, from 0 to 2**64 - 1

    Learned attributes end in an underscore: `n_features_` (width of the data), `params_` (the named
    parameters, on the device), `history_` (one dict an epoch: the columns of metrics.csv).
    """

    n_features_: int
    params_: Flat
    history_: list[dict[str, float]]

    def __init__(
        self,
        latent_dim: int = 32,
        hidden: tuple[int, ...] = (400,),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        beta: float = 1.0,
        dtype: str = "float32",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.beta = beta
        self.dtype = dtype
        self.device = device
        self.seed = seed

    def __repr__(self) -> str:
        config = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({config})"

    # ------------------------------------------------------------- what a subclass provides

    heads: tuple[str, ...]  # PyTorch's names for the parts, each (H,Z), of the encoder's last layer

    noisy = True  # whether forward reads eps

    def _forward(self, x: Array, eps: Array) -> Any:
        """A dataclass of what was computed, in order; it has `mu` (B,Z), `rec` and `kl` (B,)."""
        raise NotImplementedError

    def _backward(self, g: Flat, acts: Any, beta: float) -> None:
        """Writes into g the gradient of mean(rec + beta kl)."""
        raise NotImplementedError

    def _encode(self, x: Array) -> tuple[Array, ...]:
        """x (B,D)  ->  the code that stands for x (B,Z), and what else the encoder says."""
        raise NotImplementedError

    def _decode(self, z: Array) -> Array:
        """z (B,Z)  ->  logits (Bernoulli) or means (Gaussian) of p(x|z), (B,D)"""
        raise NotImplementedError

    # ---------------------------------------------------------------------- life and memory

    def get_config(self) -> dict[str, Any]:
        """The hyper-parameters: `type(model)(**model.get_config())` is its untrained twin."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def check_config(self) -> Any:
        """The device's array module, or InputError for the first unusable hyper-parameter."""
        whole_number(self.latent_dim, "latent_dim")
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence):
            raise InputError(f"hidden must be layer widths such as (400,), got {self.hidden!r}")
        for width in self.hidden:
            whole_number(width, "each layer width in hidden")
        for name, choices in (
            ("activation", tuple(ACTIVATIONS)),
            ("likelihood", LIKELIHOODS),
            ("dtype", DTYPES),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        finite_number(self.beta, "beta")
        noise.check_seed(self.seed)
        return namespace(self.device)

    def build(self, n_features: int) -> Self:
        """Fresh parameters for data of this width, from the seed: uniform in +-1/sqrt(fan in).

        That is PyTorch's default for a linear layer. Raises InputError for bad hyper-parameters.
        """
        xp = self.check_config()
        self.n_features_ = whole_number(n_features, "n_features")
        self.params_ = Flat(self._shapes(), xp, self.dtype)
        self.history_ = []
        self._ws = Workspace(xp, self.dtype)
        self._grads = self.params_.like(xp)
        for i, prefix in enumerate(dict.fromkeys(prefix for prefix, _, _ in self._layers())):
            W, b = self.params_[f"{prefix}_W"], self.params_[f"{prefix}_b"]
            fan_in, width = W.shape
            key = {"seed": self.seed, "stream": noise.INIT, "step": i}
            u = noise.uniform(fan_in + 1, width, **key, dtype=self.dtype, xp=xp)
            u = (2 * u - 1) * fan_in**-0.5
            W[...], b[...] = u[:-1], u[-1]
        return self

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters; weights are (fan in, fan out)."""
        D, Z = self.n_features_, self.latent_dim
        enc, dec = (D, *self.hidden), (Z, *reversed(self.hidden))
        return {
            **layer_shapes("enc", enc),
            "head_W": (enc[-1], len(self.heads) * Z),
            "head_b": (len(self.heads) * Z,),
            **layer_shapes("dec", dec),
            "out_W": (dec[-1], D),
            "out_b": (D,),
            **({"x_logvar": (1,)} if self.likelihood == "gaussian" else {}),
        }

    def _layers(self) -> list[torch_names.Layer]:
        return list(torch_names.layers(len(self.hidden), self.heads, self.latent_dim))

    def _check_built(self) -> None:
        if not hasattr(self, "params_"):
            name = type(self).__name__
            raise InputError(
                f"this {name} has no parameters: call fit, load_state_dict or build first"
            )

    def check(self, X: Any) -> np.ndarray:
        """X as (N,D) on the host; InputError if it does not fit the built model."""
        self._check_built()
        return check_images(X, self.n_features_, unit_interval=self.likelihood == "bernoulli")

    def _to_device(self, rows: np.ndarray, name: str) -> Array:
        """Rows of the host as floating point on the device, in the buffer of that name."""
        return to_float(self._ws.xp.asarray(rows), self._ws(name, *rows.shape))

    # -------------------------------------------------------------------------------- learning

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_test: Any = None,
        epochs: int = 10,
        verbose: bool = False,
        callbacks: Any = (),
        **settings: Any,
    ) -> Self:
        """Learn from X (N,D) from scratch; returns self.

        X holds uint8 pixels (0 to 255) or floating point in [0, 1]; y is ignored. `X_test` is
        evaluated after each epoch. `settings` are those of `scratchvae.train.Trainer` (batch_size,
        lr, kl_warmup, binarize), and `callbacks` of its `run`. Ctrl-C loses nothing learned. Raises
        InputError for unusable input, NonFiniteError (parameters as before that step) at a NaN.
        """
        from ..train import Trainer  # on use: the loop stands above the models

        X = check_images(X, unit_interval=self.likelihood == "bernoulli")
        whole_number(epochs, "epochs")
        twin = type(self)(**self.get_config()).build(X.shape[1])
        trainer = Trainer(twin, X, X_test, **settings)  # refuses before anything learned is lost
        self.__dict__.update(twin.__dict__)
        trainer.model = self
        trainer.run(epochs, verbose=verbose, callbacks=callbacks)
        return self

    def loss_and_grad(self, x: Any, eps: Any = None) -> tuple[float, dict[str, np.ndarray]]:
        """The training loss of a batch, mean nats per example of rec + beta kl, and its gradients.

        x (B,D) are the data and eps (B,Z) the noise of the sample, which only a model without noise
        can do without. The gradients are copies, by the model's own names; `state_dict(gradients)`
        gives them PyTorch's.
        """
        if not hasattr(self, "params_"):
            self.build(check_images(x, unit_interval=False).shape[1])
        x = self.check(x)
        if len(x) == 0:
            raise InputError("the mean loss of no examples is undefined: pass at least one row")
        if eps is None and not self.noisy:
            eps = np.zeros((len(x), self.latent_dim))
        eps = self._to_device(check_codes(eps, self.latent_dim, "eps", len(x)), "eps")
        acts = self._forward(self._to_device(x, "x"), eps)
        self._backward(self._grads, acts, self.beta)
        loss = float((acts.rec + self.beta * acts.kl).mean())
        return loss, {name: to_numpy(g).copy() for name, g in self._grads.items()}

    # ----------------------------------------------------------------------------------- using

    def encode(self, X: Any) -> Any:
        """What the encoder says of each row of X (N,D): arrays of shape (N,Z)."""
        raise NotImplementedError

    def _draw(self, n: int, **key: int) -> Array:
        """Noise (n,Z) for the rows from `row` on, on the device; None where forward reads none."""
        if not self.noisy:
            return None
        return noise.normal(n, self.latent_dim, **key, dtype=self.dtype, xp=self._ws.xp)

    def _by_rows(self, n: int, f: Callable[[slice], tuple[Array, ...]]) -> tuple[np.ndarray, ...]:
        """f on slices that cover n rows; what it returns, copied to the host and joined."""
        parts = [[to_numpy(a).copy() for a in f(rows)] for rows in chunks(n, CHUNK)]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def _means(self, z: Array) -> Array:
        """z (B,Z)  ->  the mean of p(x|z), (B,D)"""
        y = self._decode(z)
        return ops.sigmoid(y, out=y) if self.likelihood == "bernoulli" else y

    def decode(self, z: Any) -> np.ndarray:
        """The mean of p(x|z) for each code: z (N,Z)  ->  (N,D); Bernoulli means lie in [0, 1]."""
        self._check_built()
        z = check_codes(z, self.latent_dim, "z")
        return self._by_rows(len(z), lambda r: (self._means(self._to_device(z[r], "z")),))[0]

    def reconstruct(self, X: Any) -> np.ndarray:
        """Each x encoded to the code that stands for it, and decoded again: X (N,D)  ->  (N,D)"""
        X = self.check(X)

        def there_and_back(rows: slice) -> tuple[Array, ...]:
            code, *_ = self._encode(self._to_device(X[rows], "x"))
            return (self._means(code),)

        return self._by_rows(len(X), there_and_back)[0]

    def sample(self, n: int = 1, *, seed: int | None = None) -> np.ndarray:
        """n new examples, (n,D): means of p(x|z) for z from N(0, 1). seed: the model's, if None."""
        n, seed = whole_number(n, "n"), noise.check_seed(self.seed if seed is None else seed)
        z = noise.normal(n, self.latent_dim, seed=seed, stream=noise.SAMPLE, dtype=self.dtype)
        return self.decode(z)

    def score_samples(self, X: Any, k: int | None = None, *, seed: int | None = None) -> np.ndarray:
        """A lower bound of log p(x) for each row of X, (N,), nats: larger is more likely.

        The evidence lower bound with one sample of z and the closed-form KL; given k, the
        importance-weighted bound of `scratchvae.evaluate`. seed: the model's, if None.
        """
        from ..evaluate import bound  # on use: evaluation stands above the models

        return bound(self, X, k, seed)

    # ------------------------------------------------------------------- keeping and exchanging

    def state_dict(self, values: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Parameters, or gradients of `loss_and_grad`, by PyTorch's names; weights (out, in)."""
        self._check_built()
        return torch_names.to_torch(self._layers(), self.params_ if values is None else values)

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Parameters from a mapping as `state_dict` gives it; values are what NumPy can read.

        Builds the model for the width that the first layer has. Raises InputError, and changes
        nothing, where a name is missing or unknown, a shape differs, or a value is not finite.
        """
        arrays = torch_names.read_state(state)
        new = type(self)(**self.get_config())
        new.build(torch_names.width(self._layers(), arrays))
        torch_names.from_torch(self._layers(), arrays, new.params_)
        self.__dict__.update(new.__dict__)
        return self

    def save(self, path: str | Path) -> None:
        """One `.npz` file of parameters and hyper-parameters, which `load_model(path)` reads."""
        from ..checkpoint import save_model  # on use: checkpoints stand above the models

        save_model(self, path)
