"""How good a model is, in nats, with the protocol beside every number.

A loss in nats means something only together with what was measured: which split, grey or binary
pixels, how many samples, which seed. `Evaluation` keeps them together and prints them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, isfinite, log
from typing import Any

import numpy as np

from ..backend import Array, array_module, noise, to_numpy
from ..data.batches import BINARIZE, binarized_once, chunks, to_float
from ..errors import InputError, whole_number
from ..models import Labelled, SemiSupervisedVAE
from ..models.model import CHUNK, Model
from .metrics import ACTIVE, classification_error, mutual_information, unit_kl
from .published import PUBLISHED, comparable

INFORMATION = 2_000  # rows of which the mutual information is estimated: at most log of it


@dataclass(frozen=True)
class Evaluation:
    """Means over a split, nats per example, and the card of how they were measured."""

    rec: float  # -log p(x|z), the samples of z that training draws
    kl: float  # KL(q(z|x) || p(z)), closed form; M2: and what the unknown label costs
    loss: float  # rec + beta kl, or an IWAE's bound of k samples
    elbo_error: float | None  # standard error of the ELBO over the examples; None of one example
    active_units: int
    n: int
    model: str
    widths: str  # of the layers up to the code, such as 784-400-20
    epochs: int  # that the model has learned
    draws: str  # samples of z behind rec
    likelihood: str
    data: str
    split: str
    pixels: str  # "none", "static", "dynamic"
    seed: int
    left_out: str = ""  # labels that training did not see
    given_labels: bool = False  # the bound is that of log p(x|y)
    k: int | None = None
    log_likelihood: float | None = None  # importance-weighted bound of k samples, if asked for
    standard_error: float | None = None  # of its mean over the examples
    unit_kl: tuple[float, ...] = ()  # mean KL of each unit
    information: float | None = None  # estimate of I(x; z), of at most INFORMATION rows
    error: float | None = None  # share of labels predicted wrong, of those that were learned
    labelled: int = 0  # how many those are

    @property
    def elbo(self) -> float:
        return -self.rec - self.kl

    def __str__(self) -> str:
        x = "x|y" if self.given_labels else "x"
        rows = []
        if self.model == "Autoencoder":
            rows.append(("-log p(x|z)", f"{self.rec:10.2f}", "the code is a point: no bound"))
        else:
            text = f"nats per example{_within(self.elbo_error)}"
            rows.append(("ELBO", f"{self.elbo:10.2f}", text))
            if self.log_likelihood is not None:
                text = f"importance-weighted bound{_within(self.standard_error)}"
                rows.append((f"log p({x})     >=", f"{self.log_likelihood:8.2f}", text))
            rows.append(("  -log p(x|z)", f"{self.rec:10.2f}", ""))
            units = f"in {self.active_units} of {len(self.unit_kl)} units"
            rows.append(("  KL", f"{self.kl:10.2f}", units))
            n = min(self.n, INFORMATION)
            most = f"what z tells of x: an estimate, of {n:,} examples at most {log(n):.2f}"
            rows.append(("I(x; z)", f"{self.information:10.2f}", most))
        if self.error is not None:
            of = f"of the {self.labelled:,} examples with one of the labels that the model knows"
            rows.append(("wrong labels", f"{100 * self.error:9.2f}%", of))
        lines = [f"{name:14}{value:>11}   {text}".rstrip() for name, value, text in rows]
        return "\n".join([*lines, "", *self._card()])

    def _card(self) -> list[str]:
        """What was measured, and what it may be compared with."""
        pixels = {
            "none": "grey, in [0, 1]" if self.likelihood != "gaussian" else "real numbers",
            "static": "made binary once, at random; training saw one binary version too",
            "dynamic": "made binary once, at random; training saw a new binary version each step",
        }[self.pixels]
        samples = self.draws if self.k is None else f"{self.k} samples for the bound"
        lines = [
            f"data        {self.split} of {self.data}, {self.n:,} examples",
            f"pixels      {pixels}",
            f"measured    {samples}, seed {self.seed}",
        ]
        if self.left_out:
            lines.append(f"unseen      in training: label {self.left_out}")
        if self.data == "mnist":
            fit = [name for name, row in PUBLISHED.items() if not comparable(self, row)]
            more = replace(self, k=self.k or 1)
            later = [name for name, row in PUBLISHED.items() if not comparable(more, row)]
            text = ", ".join(fit) or "with no published row known here"
            if later := [name for name in later if name not in fit]:
                text += f"; by importance samples: {', '.join(later)}"
            lines.append(f"comparable  {text}")
        return lines


def _within(error: float | None) -> str:
    return "" if error is None else f", +- {error:.2f} over the examples"


def losses(model: Model, X: Array) -> dict[str, Any]:
    """Means of rec, kl and loss over X (N,D), on the model's device, and what else is of all rows.

    The noise is keyed by row: two evaluations differ by what the model learned, not by luck. One
    transfer to the host in all.
    """
    xp = model.xp
    Z = model.latent_dim
    sums = xp.zeros(4 + 2 * Z, dtype="float64")
    for rows in chunks(len(X), CHUNK):
        x = to_float(X[rows], model.workspace("x", *X[rows].shape))
        acts = model.forward(x, model.draw_noise(len(x), **_key(model.seed, noise.TEST, 0, rows)))
        square = xp.square(acts.rec + acts.kl, dtype="float64")
        for i, values in enumerate((acts.rec, acts.kl, model.example_losses(acts), square)):
            sums[i] += xp.sum(values, dtype="float64")
        sums[4 : 4 + Z] += xp.sum(acts.mu, axis=0, dtype="float64")
        sums[4 + Z :] += xp.sum(xp.square(acts.mu, dtype="float64"), axis=0)
    rec, kl, loss, square, *moments = to_numpy(sums) / len(X)
    variance = np.array(moments[Z:]) - np.array(moments[:Z]) ** 2
    return {
        "loss": float(loss),
        "rec": float(rec),
        "kl": float(kl),
        "elbo_error": _standard_error(
            square - (rec + kl) ** 2 if isfinite(square) else inf, len(X)
        ),
        "active_units": int((variance > ACTIVE).sum()),
    }


def _standard_error(variance: float, n: int) -> float | None:
    """Of the mean of n numbers, from their variance; None where it cannot be estimated."""
    return float(max(variance, 0.0) / (n - 1)) ** 0.5 if n > 1 else None


def evaluate(
    model: Model,
    X: Any,
    y: Any = None,
    *,
    k: int | None = None,
    binarize: str = "none",
    data: str = "the data given",
    split: str = "all",
    left_out: str = "",
    examples: int | None = None,
) -> Evaluation:
    """The ELBO of X (N,D) and its parts; with k, the importance-weighted bound of log p(x) too.

    y (N,) are labels: a ConditionalVAE is given them, and a SemiSupervisedVAE has to find them.
    binarize "static" or "dynamic" turns grey pixels into one fixed binary sample of each first.
    `examples` takes so many at random. `data`, `split` and `left_out` (labels that training did not
    see) are what the card says.
    """
    given = model.needs_labels
    rows = prepare(model, X, y if given else None, binarize, step=1)
    y = model.check_labels(y, len(rows)) if isinstance(model, Labelled) and y is not None else None
    if examples is not None:
        examples = whole_number(examples, "examples")
    if examples is not None and examples < len(rows):
        picked = noise.permutation(len(rows), seed=model.seed, stream=noise.PICK)[:examples]
        rows, y = rows[picked], None if y is None else y[picked]
        split = "random rows" if split == "all" else f"random rows of the {split}"
    found: dict[str, Any] = losses(model, model.xp.asarray(rows))
    if k is not None:
        scores = _bounds(model, rows, k, model.seed)
        found["log_likelihood"] = float(scores.mean())
        variance = scores.var(dtype=np.float64) if np.isfinite(scores).all() else inf
        found["standard_error"] = _standard_error(variance, len(scores))
    if model.noisy:
        mu, logvar = model.encode_rows(rows)
        found["unit_kl"] = tuple(unit_kl(mu, logvar).tolist())
        some = np.linspace(0, len(mu) - 1, min(len(mu), INFORMATION)).astype(int)
        mu, logvar = mu[some], logvar[some]
        eps = noise.normal(*mu.shape, seed=model.seed, stream=noise.TEST, step=0, dtype="float64")
        found["information"] = mutual_information(mu, logvar, mu + np.exp(logvar / 2) * eps)
    if isinstance(model, SemiSupervisedVAE) and y is not None:
        learned = np.isin(y, model.classes_)  # those that could be predicted right
        found["labelled"] = int(learned.sum())
        if learned.any():
            predicted = model.predict(rows[learned][:, : model.n_features_])
            found["error"] = classification_error(y[learned], predicted)
    widths = "-".join(map(str, (model.n_features_, *model.hidden, model.latent_dim)))
    return Evaluation(
        **found, n=len(rows), model=type(model).__name__, widths=widths, draws=model.draws,
        epochs=len(model.history_), likelihood=model.likelihood, data=data, split=split,
        left_out=left_out, pixels=binarize, seed=model.seed, given_labels=given, k=k,
    )  # fmt: skip


def prepare(model: Model, X: Any, y: Any, binarize: str, *, step: int) -> np.ndarray:
    """X checked against the model and, unless binarize is "none", made binary once."""
    check_binarize(model, binarize)
    X = model.check(X, y)
    if len(X) == 0:
        raise InputError("the data hold no examples: pass at least one row")
    return (
        X
        if binarize == "none"
        else binarized_once(X, model.n_features_, seed=model.seed, step=step)
    )


def check_binarize(model: Model, binarize: str) -> None:
    """InputError for an unknown way, or for pixels that are not Bernoulli."""
    if binarize not in BINARIZE:
        raise InputError(f"binarize must be one of {', '.join(BINARIZE)}, got {binarize!r}")
    if binarize != "none" and model.likelihood != "bernoulli":
        raise InputError(
            f"binarize={binarize!r} needs likelihood='bernoulli', not {model.likelihood!r}"
        )


def bound(
    model: Model, X: Any, k: int | None = None, seed: int | None = None, *, y: Any = None
) -> np.ndarray:
    """A lower bound of log p(x) for each row of X (N,D): (N,), nats.

    Without k the ELBO, log p(x|z) - KL, with the samples of z that training draws. With k the
    importance-weighted bound, log (1/k) sum_j p(x, z_j) / q(z_j|x), which tightens as k grows
    (Burda et al., arXiv:1509.00519). The sum is kept as it grows, so memory does not depend on k.
    """
    X = model.check(X, y)
    return _bounds(model, X, k, noise.check_seed(model.seed if seed is None else seed))


def _bounds(model: Model, X: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    """`bound` of rows that were checked."""

    def elbo(rows: slice) -> tuple[Array]:
        x = model.to_device(X[rows], "x")
        acts = model.forward(x, model.draw_noise(len(x), **_key(seed, noise.SCORE, 0, rows)))
        return (-acts.rec - acts.kl,)

    if k is None:
        return model.map_rows(len(X), elbo)[0]
    k = whole_number(k, "k")
    if not model.noisy:
        raise InputError(
            f"{type(model).__name__} draws no samples of z, so it has no importance-weighted bound"
        )

    def importance_weighted(rows: slice) -> tuple[Array]:
        x = model.to_device(X[rows], "x")
        codes, Z = model.encoder(x), model.latent_dim

        def log_weights() -> Iterator[Array]:
            for j in range(k):
                key = _key(seed, noise.SCORE, j, rows)
                yield model._log_weight(x, codes, model.draw_noise(len(x), width=Z, **key))

        return (streaming_log_mean_exp(log_weights()),)

    return model.map_rows(len(X), importance_weighted)[0]


def streaming_log_mean_exp(terms: Iterator[Array]) -> Array:
    """log (1/K) sum_j exp(terms_j) of K arrays (B,), which pass one by one, in float64.

    The sum is that of exp(terms_j - top), top being the largest term so far.
    """
    top = next(terms).astype("float64")
    xp = array_module(top)
    total, count = (top > -inf).astype("float64"), 1
    for term in terms:
        higher = xp.maximum(top, term)
        # -inf less -inf is no number: a sum of nothing stays 0
        finite = xp.where(higher > -inf, higher, 0)
        total *= xp.exp(top - finite)
        total += xp.exp(term - finite)
        top, count = higher, count + 1
    return top + xp.log(xp.maximum(total, 1e-300) / count)


def _key(seed: int, stream: int, step: int, rows: slice) -> dict[str, int]:
    return {"seed": seed, "stream": stream, "step": step, "row": rows.start}
