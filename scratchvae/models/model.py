"""The public methods of every model: fit, encode, decode, sample, score_samples, save.

These methods validate their arrays, copy them to the device, and return NumPy copies. A model's
`forward` and `backward` rely on validated input.
"""

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from .. import ops
from ..backend import Array, noise, to_numpy
from ..backend.memory import Flat
from ..data.batches import check_codes, check_rows, chunks
from ..data.labels import read_classes
from ..data.learning import learn_format
from ..data.rows import RowFormat
from ..errors import InputError, whole_number
from ..files import checkpoint, safetensors
from ..files.home import expanded
from ..train import Trainer
from ..train.optim import TRAINING
from . import scores
from .losses import likelihood_draw, likelihood_mean, log_prior_ratio, reconstruction
from .parameters import Parametric, reads

# Rows computed together by the methods that read a model, on the CPU and on a GPU. The last block
# is padded to that size, because BLAS rounds products of other sizes differently.
BLOCK, BLOCK_GPU = 128, 512


class Model(Parametric):
    """Base class of all models: the public methods, built on what each subclass provides."""

    # ------------------------------------------------------------- what a subclass provides

    kind: ClassVar[str]  # its name in files and on the command line
    noisy: ClassVar[bool] = True  # whether forward reads eps
    scheduled: ClassVar[bool] = False  # whether backward reads ramp
    needs_labels: ClassVar[bool] = False  # whether each row must have a label
    loss_name: ClassVar[str] = "negative ELBO"
    draws: Any = "one sample of z"  # how many the loss draws per example, in words

    def forward(self, x: Array, eps: Array) -> Any:
        """A dataclass of all results, in order; it has `mu` (B,Z), `rec` and `kl` (B,)."""
        raise NotImplementedError

    def backward(self, g: Flat, acts: Any, ramp: float = 1.0) -> None:
        """Writes into g the gradient of the objective; ramp in [0, 1] scales its KL schedule."""
        raise NotImplementedError

    def example_losses(self, acts: Any) -> Array:
        """The loss of each example, (B,), nats: an upper bound of -log p(x) if beta is 1."""
        raise NotImplementedError

    def mean_loss(self, acts: Any) -> Array:
        """The objective that training minimises: by default, the mean of `example_losses`."""
        return self.example_losses(acts).mean()

    def encoder(self, x: Array) -> tuple[Array, ...]:
        """x (B,D)  ->  the code of x (B,Z), and the encoder's other outputs."""
        raise NotImplementedError

    def decoder(self, z: Array) -> Array:
        """z (B,Z)  ->  logits (Bernoulli) or means (Gaussian) of p(x|z), (B,D)"""
        raise NotImplementedError

    def log_weight(self, x: Array, codes: Any, eps: Array) -> Array:
        """log p(x,z) / q(z|x) of one sample z for each example; codes: mu and logvar.  -> (B,)"""
        mu, logvar = codes
        z = ops.reparameterize(mu, logvar, eps, out=self._ws("z", *eps.shape))
        y = self.decoder(self._decoder_input(z, x))
        pixels = x[:, : self.n_features_]
        rec = reconstruction(self.params_, y, pixels, self._ws, self.likelihood)
        return log_prior_ratio(z, logvar, eps) - rec

    def build_from(
        self, X: Any, y: Any = None, *, scale: str | None = None, columns: Any = None,
        means: Any = None, where: Any = None,
    ) -> Self:  # fmt: skip
        """Initialise the parameters for these data, and learn the format of their rows.

        scale defaults to the hyper-parameter, columns to the names in X, and means, which fill
        missing values in later tables, to those of X. where(i) names row i in messages.
        """
        self.check_config()
        scale = self.scale if scale is None else scale
        known = {"unit_interval": self.unit_interval, "columns": columns, "means": means}
        form = learn_format(X, scale=scale, where=where, **known)
        rows = self._to_learn(form, X)
        self._build_for_rows(rows, y)
        self.rows_ = form
        return self._set_output_bias(rows)

    def _build_for_rows(self, rows: np.ndarray, y: Any) -> None:
        self.build(rows.shape[1])

    def _to_learn(self, form: RowFormat, X: Any) -> np.ndarray:
        """X (N,D), scaled. Raises InputError if the likelihood of X has no maximum."""
        X = form.check(X, type(self).__name__)
        X = form.scaled(X, self.dtype, self.unit_interval, learning=True)
        white = 255 if X.dtype == np.uint8 else 1
        continuous = self.likelihood == "continuous_bernoulli"
        if continuous and X.size and ((X == 0) | (X == white)).all():
            raise InputError(
                "all pixels are 0 or 1, where the density of likelihood='continuous_bernoulli' is "
                "unbounded: use likelihood='bernoulli'"
            )
        return X

    def check(self, X: Any, y: Any = None) -> np.ndarray:
        """X as scaled rows (N,D) on the host, for `forward`; y is for models with labels.

        Raises InputError if X does not fit the model.
        """
        self._check_built()
        X = self.rows_.check(X, type(self).__name__)
        return self.rows_.scaled(X, self.dtype, self.unit_interval)

    # -------------------------------------------------------------------------------- learning

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_test: Any = None,
        y_test: Any = None,
        verbose: bool = False,
        callbacks: Any = (),
        scale: str | None = None,
        epochs: int | None = None,
        **settings: Any,
    ) -> Self:
        """Learn from X (N,D) from scratch; returns self.

        X holds uint8 pixels (0 to 255) or floating point in [0, 1]; models without labels ignore
        y, the labels (N,). `X_test` is evaluated after each epoch. scale, epochs and `settings`,
        those of `scratchvae.train.Trainer` (lr, checkpoint_file, ...), default to the
        hyper-parameters of the same names; `callbacks` are those of its `run`. Ctrl-C keeps
        what was learned. Raises InputError for invalid input, and NonFiniteError at a NaN, after
        restoring the parameters from before that step.
        """
        self.check_fit_settings(settings)
        epochs = whole_number(self.epochs if epochs is None else epochs, "epochs")
        twin = type(self)(**self.get_params()).build_from(X, y, scale=scale)
        settings = {name: getattr(self, name) for name in TRAINING} | settings
        # raises before this model changes
        trainer = Trainer(twin, X, X_test, y=y, y_test=y_test, **settings)
        self.__dict__.update(twin.__dict__)
        trainer.model = self
        trainer.run(epochs, verbose=verbose, callbacks=callbacks)
        return self

    def loss_and_grad(
        self, x: Any, eps: Any = None, y: Any = None
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The training loss of a batch, mean nats per example, and the gradients of its step.

        x (B,D) are the data; y (B,) their labels, for a model with labels; eps (B,Z) the noise
        (IWAE: (B,kZ)), optional only for a model without noise. The gradients are those of the
        loss, except for the doubly reparameterized estimate (`dreg`). They are copies, under the
        model's own names; `state_dict(gradients)` converts them to PyTorch's names.
        """
        if not hasattr(self, "params_"):
            new = copy(self).build(check_rows(x).shape[1])
            self.__dict__.update(new.__dict__)  # at once, for other threads
        view = self.view()
        x = view.check(x, y)
        if len(x) == 0:
            raise InputError("the mean loss of no examples is undefined: pass at least one row")
        if eps is None and not view.noisy:
            eps = np.zeros((len(x), view.noise_width))
        eps = view.to_device(check_codes(eps, view.noise_width, "eps", len(x)), "eps")
        acts = view.forward(view.to_device(x, "x"), eps)
        view.backward(view.gradients, acts)
        loss = float(view.mean_loss(acts))
        return loss, {name: to_numpy(g) for name, g in view.gradients.items()}

    # ----------------------------------------------------------------------------------- using

    @reads
    def encode(self, X: Any) -> Any:
        """mu and logvar, both (N,Z): the Gaussian q(z|x) of each row of X (N,D)."""
        return self.map_rows(self.encoder, self.check(X))

    def draw_noise(self, n: int, width: Any = None, draw: Any = noise.normal, **key: Any) -> Array:
        """Noise (n, width or noise_width) on the device, keyed; None if forward reads none."""
        if not self.noisy:
            return None
        return draw(n, width or self.noise_width, **key, dtype=self.dtype, xp=self._ws.xp)

    def map_rows(
        self, f: Callable[[Array], tuple[Array, ...]], rows: np.ndarray, name: str = "x"
    ) -> tuple[np.ndarray, ...]:
        """Apply f to the rows on the device, BLOCK at a time; the results (N,...), on the host."""
        size, found = BLOCK if self._ws.xp is np else BLOCK_GPU, list[np.ndarray]()
        for block in chunks(len(rows), size):
            results = f(self.to_device(rows[block], name, size))
            found = found or [np.empty((len(rows), *a.shape[1:]), a.dtype) for a in results]
            for i, a in enumerate(results):
                found[i][block] = to_numpy(a[: len(rows[block])])
        return tuple(found)

    def _means(self, z: Array) -> Array:
        """z (B,Z)  ->  the mean of p(x|z), (B,D)"""
        return likelihood_mean(self.decoder(z), self.likelihood)

    @reads
    def decode(self, z: Any) -> np.ndarray:
        """The mean of p(x|z) for each code: z (N,Z)  ->  (N,D); Bernoulli means lie in [0, 1]."""
        self._check_built()
        z = check_codes(z, self.latent_dim, "z")
        return self._decoded(z)

    def _decoded(self, z: np.ndarray) -> np.ndarray:
        return self.rows_.unscaled(self.map_rows(lambda z: (self._means(z),), z, "z")[0])

    @reads
    def reconstruct(self, X: Any) -> np.ndarray:
        """Encode each row and decode its code: X (N,D)  ->  (N,D)"""
        return self._reconstructed(self.check(X))

    def _reconstructed(self, rows: np.ndarray) -> np.ndarray:
        return self.rows_.unscaled(self.map_rows(lambda x: (self._reconstruct(x),), rows)[0])

    def _reconstruct(self, x: Array) -> Array:
        return self._means(self._decoder_input(self.encoder(x)[0], x))

    def _decoder_input(self, z: Array, x: Array) -> Array:
        """z (B,Z), or z with the label of x beside it."""
        return z

    @reads
    def sample(self, n: int = 1, *, draw: bool = False, seed: int | None = None) -> np.ndarray:
        """n new examples, (n,D): the means of p(x|z) at n codes z from N(0, 1).

        draw=True draws from each p(x|z) instead, so that the examples vary like the data. seed
        defaults to `self.seed`.
        """
        self._check_built()
        z = self._codes_of_prior(n, seed)
        return self._drawn(z, seed) if draw else self._decoded(z)

    def _codes_of_prior(self, n: int, seed: int | None) -> np.ndarray:
        n, seed = whole_number(n, "n"), noise.check_seed(self.seed if seed is None else seed)
        return noise.normal(n, self.latent_dim, seed=seed, stream=noise.SAMPLE, dtype=self.dtype)

    def _drawn(self, z: np.ndarray, seed: int | None) -> np.ndarray:
        """A draw from p(x|z) for each row of z, keyed by its number."""
        key = {"seed": self.seed if seed is None else seed, "stream": noise.DRAW}
        parts: list[np.ndarray] = []
        for block in chunks(len(z), BLOCK):
            parts += self.map_rows(partial(self._draw, row=block.start, **key), z[block], "z")
        return self.rows_.unscaled(np.concatenate(parts))

    def _draw(self, z: Array, **key: Any) -> tuple[Array]:
        y, gaussian = self.decoder(z), self.likelihood == "gaussian"
        kind = noise.normal if gaussian else noise.uniform
        values = kind(*y.shape, **key, dtype=self.dtype, xp=self._ws.xp)
        return (likelihood_draw(self.params_, y, values, self.likelihood),)

    def score_samples(
        self, X: Any, k: int | None = None, *, kind: str = "elbo", y: Any = None,
        seed: int | None = None, normal: float | None = None, groups: Any = None,
    ) -> np.ndarray:  # fmt: skip
        """A lower bound on log p(x) for each row of X, (N,), nats: larger is more likely.

        The ELBO, with as many samples of z as in training; with k, the importance-weighted bound;
        with labels y (N,), a bound on log p(x|y) or log p(x,y); densities are those of scaled
        values. It is -inf where numbers overflow. Noise is keyed by seed (default `self.seed`) and
        a row's values: a row has one score. kind is another score of `models/scores`; "typicality"
        needs normal, the mean bound of normal rows; it scores each of the groups (N,) together.
        """
        model = self.view()
        seed = noise.check_seed(model.seed if seed is None else seed)
        with np.errstate(over="ignore", invalid="ignore"):
            return scores.of_rows(model, model.check(X, y), k, seed, kind, normal, groups)

    @reads
    def transform(self, X: Any) -> Any:
        """The code of each row: the mean of q(z|x).        X (N,D)  ->  (N,Z)"""
        return self._as_output(self.map_rows(self.encoder, self.check(X))[0], X)

    # -------------------------------------------------------------------------------- saving

    def describe(self) -> dict[str, Any]:
        """The metadata of the model for a file, as JSON types.

        Raises InputError if the model is not built, or its class is not one of the package's.
        """
        self._check_built()
        if type(self).__module__.rpartition(".")[0] != __package__:
            raise InputError(
                f"a {type(self).__name__} cannot be saved: load_model reads only the models of "
                "scratchvae"
            )
        if callable(self.lr):
            raise InputError("a function cannot be saved as the hyper-parameter lr: pass it to fit")
        classes = getattr(self, "classes_", None)
        if classes is not None:
            classes = read_classes(classes.tolist()).tolist()  # raises if they could not be read
        return {
            "model": self.kind,
            "config": self.get_params(),
            "n_features": self.n_features_,
            "classes": classes,
            "rows": self.rows_.describe(),
        }

    def save(
        self,
        path: str | Path,
        *,
        run: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Any] | None = None,
    ) -> None:
        """Save the parameters and hyper-parameters to one file, which `load_model(path)` reads.

        The format is NumPy's `.npz`, or, if the path ends in `.safetensors`, one that PyTorch also
        reads. run and arrays make it a checkpoint of a training run: its settings and
        `Trainer.state`.
        """
        path, meta = Path(expanded(path)), self.describe()
        suffix = path.suffix.lower()
        if suffix not in ("", ".npz", safetensors.SUFFIX):
            raise InputError(
                f"{path} must end in .npz or {safetensors.SUFFIX}, the two formats of a saved model"
            )
        if suffix == safetensors.SUFFIX:
            return safetensors.write(path, meta, self.state_dict())
        # without the durations, the same run writes the same bytes
        history = [{name: r[name] for name in r if name != "seconds"} for r in self.history_]
        meta |= {"history": history, "run": dict(run or {})}
        own = {f"param/{name}": a for name, a in self.params_.items()}
        checkpoint.write(path, meta, own | dict(arrays or {}))
