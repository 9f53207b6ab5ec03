"""Evaluate a model, in nats, with the protocol of every number.

A loss in nats is meaningful only with its protocol: the split, grey or binary pixels, the number of
samples, the seed. `Evaluation` stores and prints both together.
"""

from dataclasses import dataclass, replace
from math import inf, log, nan
from typing import Any

import numpy as np

from ..backend import noise
from ..errors import InputError, whole_number
from ..models import Labelled, Model, SemiSupervisedVAE
from ..train.measure import evaluated, losses, prepare, standard_error
from .metrics import classification_error, mutual_information, unit_kl
from .published import MIN_EXAMPLES, PIXELS, PUBLISHED, Row
from .workers import bounds_of_rows

INFORMATION_ROWS = 2_000  # rows for the mutual information, whose estimate is at most log of that


@dataclass(frozen=True)
class Evaluation:
    """Means over a split, nats per example, and the protocol of their measurement."""

    rec: float  # -log p(x|z), the samples of z that training draws
    kl: float  # KL(q(z|x) || p(z)), closed form; M2: plus the cost of the unknown label
    loss: float  # rec + beta kl, or an IWAE's bound of k samples
    elbo_error: float | None  # standard error of the ELBO over the examples; None for one example
    active_units: int
    n: int
    model: str
    widths: str  # widths of the encoder's layers, such as 784-400-20
    epochs: int  # epochs of training
    draws: str  # samples of z for rec, in words
    likelihood: str
    data: str
    split: str
    pixels: str  # "none", "static", "dynamic"
    seed: int
    left_out: str = ""  # labels excluded from training
    given_labels: bool = False  # whether the bound is of log p(x|y)
    k: int | None = None
    log_likelihood: float | None = None  # importance-weighted bound of k samples, if k is given
    standard_error: float | None = None  # of its mean over the examples
    unit_kl: tuple[float, ...] = ()  # mean KL of each unit
    information: float | None = None  # estimate of I(x; z), from at most INFORMATION_ROWS rows
    error: float | None = None  # error rate of the classifier, on rows with a learned label
    labelled: int = 0  # the number of those rows
    scale: str = "none"  # of the data: nats refer to scaled values
    colour: bool = False  # whether the pixels are red, green and blue
    images: bool = True  # whether the rows are images, else a table
    beyond: int = 0  # the number of rows whose cost is infinite
    first_beyond: int | None = None  # the row number of the first of them

    @property
    def elbo(self) -> float:
        return -self.rec - self.kl

    def numbers(self) -> list[tuple[str, str, str]]:
        """The name, the value and an explanation of each number, as printed."""
        rows: list[tuple[str, Any, str]] = []
        if self.model == "Autoencoder":
            rows.append(("-log p(x|z)", self.rec, "the code is a point: no bound"))
        else:
            rows.append(("ELBO", self.elbo, f"nats per example{_within(self.elbo_error)}"))
            if self.log_likelihood is not None:
                name = f"log p({'x|y' if self.given_labels else 'x'})     >="
                text = f"importance-weighted bound{_within(self.standard_error)}"
                rows.append((name, self.log_likelihood, text))
            rows.append(("  -log p(x|z)", self.rec, ""))
            rows.append(("  KL", self.kl, f"in {self.active_units} of {len(self.unit_kl)} units"))
            n = min(self.n, INFORMATION_ROWS)
            text = f"mutual information, estimated; {n:,} examples limit it to {log(n):.2f}"
            rows.append(("I(x; z)", self.information, text))
        found = [(name, f"{value:.2f}", text) for name, value, text in rows]
        if self.error is not None:
            of = f"of the {self.labelled:,} examples with a label that the model knows"
            found.append(("wrong labels", f"{self.error:.2%}", of))
        return found

    def __str__(self) -> str:
        lines = [f"{name:14}{value:>11}   {text}".rstrip() for name, value, text in self.numbers()]
        return "\n".join([*lines, self.protocol()])

    def protocol(self) -> str:
        """The lines that say on which data, and how, the numbers were measured."""
        lines = []
        if self.beyond:
            lines.append(
                f"infinite: {self.beyond:,} of the {self.n:,} examples, first row "
                f"{self.first_beyond}, have an infinite cost: leave them out"
            )
        return "\n".join([*lines, "", *self._card()])

    def _card(self) -> list[str]:
        """The lines of the protocol, and of the published numbers with the same protocol."""
        shade = "" if not self.images else "colour, " if self.colour else "grey, "
        pixels = {
            "none": f"{shade}in [0, 1]" if self.likelihood != "gaussian" else "real numbers",
            "static": "binarised once, at random; training also used one binary version",
            "dynamic": "binarised once, at random; training used a new binary version each step",
        }[self.pixels]
        if self.scale != "none":
            pixels = f"scaled ({self.scale}); nats refer to the scaled values"
        samples = self.draws if self.k is None else f"{self.k} samples for the bound"
        lines = [
            f"data        {self.split} of {self.data}, {self.n:,} examples",
            f"{'pixels' if self.images else 'values'}      {pixels}",
            f"measured    {samples}, seed {self.seed}",
        ]
        if self.left_out:
            lines.append(f"left out    of training: label {self.left_out}")
        if self.data == "mnist":
            fit = [name for name, row in PUBLISHED.items() if not comparable(self, row)]
            more = replace(self, k=self.k or 1)
            later = [name for name, row in PUBLISHED.items() if not comparable(more, row)]
            text = ", ".join(fit) or "with no published number listed here"
            if later := [name for name in later if name not in fit]:
                text += f"; with importance samples: {', '.join(later)}"
            lines.append(f"comparable  {text}")
        return lines


def _within(error: float | None) -> str:
    return "" if error is None else f", +- {error:.2f} over the examples"


@np.errstate(over="ignore", invalid="ignore")  # of rows far from the training data
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
    numbers: Any = None,
    workers: int | str = 1,
) -> Evaluation:
    """The ELBO of X (N,D) and its terms; with k, also the importance-weighted bound on log p(x).

    y (N,) are labels: the input of a ConditionalVAE, and the targets for a SemiSupervisedVAE's
    classifier. binarize "static" or "dynamic" first replaces grey pixels with one fixed binary
    sample. `examples` evaluates that many random rows. `data`, `split` and `left_out` (labels
    excluded from training) are names for the printed protocol, `numbers` (N,) those of the rows.
    `workers` processes share the rows of the bound; "auto" means one per usable core.
    """
    model = model.view()
    given = model.needs_labels
    rows = prepare(model, X, y if given else None, binarize)
    numbers = np.arange(len(rows)) if numbers is None else np.asarray(numbers)
    y = model.check_labels(y, len(rows)) if isinstance(model, Labelled) and y is not None else None
    if examples is not None and whole_number(examples, "examples") < len(rows):
        picked = noise.permutation(len(rows), seed=model.seed, stream=noise.PICK)[:examples]
        rows, y, numbers = rows[picked], None if y is None else y[picked], numbers[picked]
        split = "random rows" if split == "all" else f"random rows of the {split}"
    found = losses(model, model.xp.asarray(rows))
    beyond = np.zeros(len(rows), dtype=bool)
    if not np.isfinite([found["loss"], found["rec"], found["kl"]]).all():
        beyond = _beyond(model, rows)
    if np.isnan(found["loss"]):
        raise InputError(
            f"{beyond.sum():,} of {len(rows):,} rows of {data}, first row "
            f"{numbers[beyond.argmax()]}, are so far from the training data that numbers overflow: "
            "leave out rows that score_samples scores -inf (anomaly: inf)"
        )
    if k is not None:
        scores = bounds_of_rows(model, rows, k, model.seed, workers)
        beyond |= ~np.isfinite(scores)
        found["log_likelihood"] = float(scores.mean())
        variance = scores.var(dtype=np.float64) if np.isfinite(scores).all() else inf
        found["standard_error"] = standard_error(variance, len(scores))
    if model.noisy:
        mu, logvar = model.map_rows(model.encoder, rows)
        found["unit_kl"] = tuple(unit_kl(mu, logvar).tolist())
        some = np.linspace(0, len(mu) - 1, min(len(mu), INFORMATION_ROWS)).astype(int)
        mu, logvar = mu[some], logvar[some]
        eps = noise.normal(*mu.shape, seed=model.seed, stream=noise.TEST, step=0, dtype="float64")
        z = mu + np.exp(logvar / 2) * eps
        found["information"] = mutual_information(mu, logvar, z) if np.isfinite(z).all() else nan
    if isinstance(model, SemiSupervisedVAE) and y is not None:
        learned = np.isin(y, model.classes_)  # other labels cannot be predicted
        found["labelled"] = int(learned.sum())
        if learned.any():
            best = model.probabilities(rows[learned]).argmax(axis=1)
            predicted = model.classes_[best]
            found["error"] = classification_error(y[learned], predicted)
    return Evaluation(
        **found, n=len(rows), model=type(model).__name__, widths=model.widths, draws=model.draws,
        epochs=len(model.history_), likelihood=model.likelihood, data=data, split=split,
        left_out=left_out, pixels=binarize, seed=model.seed, given_labels=given, k=k,
        scale=model.rows_.scale, colour=len(model.rows_.image_shape or ()) == 3,
        images=model.rows_.image_shape is not None, beyond=int(beyond.sum()),
        first_beyond=int(numbers[beyond.argmax()]) if beyond.any() else None,
    )  # fmt: skip


def _beyond(model: Model, rows: np.ndarray) -> np.ndarray:
    """Whether a cost of each row (N,D) is infinite or NaN: (N,)."""

    def costs(x: Any) -> tuple[Any]:
        acts = evaluated(model, x)
        return (acts.rec + acts.kl + model.example_losses(acts),)

    return ~np.isfinite(model.map_rows(costs, rows)[0])


def comparable(found: Evaluation, row: Row) -> str:
    """ "" if both numbers have the same protocol, else why they are not comparable."""
    if found.model == "Autoencoder":
        return "it is a bound on log p(x), but an autoencoder has none"
    if found.data != "mnist":
        return f"it is for the data set mnist, but these data are {found.data}"
    if "test split" not in found.split:
        return f"it is for the test split, but this is for {found.split}"
    if found.left_out:
        return f"it is for all digits, but this model was trained without label {found.left_out}"
    if found.likelihood != "bernoulli":
        return f"it has a Bernoulli likelihood, but this model a {found.likelihood} one"
    if found.given_labels:
        return "it is a bound on log p(x), but this one on log p(x|y) or log p(x, y)"
    if found.pixels != row.pixels:
        return f"it is for {PIXELS[row.pixels]}, but this is for {PIXELS[found.pixels]}"
    if row.k and not found.k:
        return f"it is a log-likelihood from {row.k} importance samples, but this an ELBO: pass k"
    if found.n < MIN_EXAMPLES:
        return (
            f"it is for 10,000 images, but this is for {found.n}: evaluate {MIN_EXAMPLES:,} or more"
        )
    return ""


def compare(found: Evaluation, name: str, original: bool = False) -> str:
    """Compare with a published number, in one sentence. Raises InputError if not comparable.

    original: the binary images are those of Larochelle & Murray (AISTATS 2011), not our own.
    """
    if name not in PUBLISHED:
        raise InputError(f"no published number {name!r}: choose one of {', '.join(PUBLISHED)}")
    row = PUBLISHED[name]
    if reason := comparable(found, row):
        raise InputError(f"{name} ({row.value}, {row.source}) cannot be compared: {reason}")
    ours, error = -found.elbo, found.elbo_error
    if row.k is not None and found.log_likelihood is not None:
        ours, error = -found.log_likelihood, found.standard_error
    text = (
        f"{ours:.2f} +- {error:.2f} nats here ({found.model} {found.widths}, {found.epochs} epochs)"
        f", {row.value:.2f} published ({row.model}; {row.source}); smaller is better"
    )
    if row.k and found.k and found.k < row.k:
        more = f"{row.k} samples instead of {found.k}"
        text += f"; with {more}, this bound would be at least as tight"
    if row.pixels == "static" and not original:
        text += "; the binary images are our own sample, not the file of Larochelle & Murray"
    return text
