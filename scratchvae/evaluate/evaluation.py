"""How good a model is, in nats, with the protocol beside every number.

A loss in nats means something only together with what was measured: which split, grey or binary
pixels, how many samples, which seed. `Evaluation` keeps them together and prints them together.
"""

from dataclasses import dataclass, replace
from math import inf, log
from typing import Any

import numpy as np

from ..backend import noise
from ..errors import InputError, whole_number
from ..models import Labelled, Model, SemiSupervisedVAE, bounds
from ..train.measure import losses, prepare, standard_error
from .metrics import classification_error, mutual_information, unit_kl
from .published import MIN_EXAMPLES, PIXELS, PUBLISHED, Row

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
    found = losses(model, model.xp.asarray(rows))
    if k is not None:
        scores = bounds.of_rows(model, rows, k, model.seed)
        found["log_likelihood"] = float(scores.mean())
        variance = scores.var(dtype=np.float64) if np.isfinite(scores).all() else inf
        found["standard_error"] = standard_error(variance, len(scores))
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
    return Evaluation(
        **found, n=len(rows), model=type(model).__name__, widths=model.widths, draws=model.draws,
        epochs=len(model.history_), likelihood=model.likelihood, data=data, split=split,
        left_out=left_out, pixels=binarize, seed=model.seed, given_labels=given, k=k,
    )  # fmt: skip


def comparable(found: Evaluation, row: Row) -> str:
    """ "" if the two numbers measure the same thing, or the reason why not."""
    if found.model == "Autoencoder":
        return "it is about a bound of log p(x), and an autoencoder has none"
    if found.data != "mnist":
        return f"it is about the data set mnist, and these data are {found.data}"
    if "test split" not in found.split:
        return f"it is about the test split, and this about: {found.split}"
    if found.left_out:
        return f"it is about all digits, and this model never saw label {found.left_out}"
    if found.likelihood != "bernoulli":
        return f"it has a Bernoulli likelihood, and this model a {found.likelihood} one"
    if found.given_labels:
        return "it is about p(x), and this bound about p(x|y) or p(x, y)"
    if found.pixels != row.pixels:
        return f"it is about {PIXELS[row.pixels]}, and this about {PIXELS[found.pixels]}"
    if row.k and not found.k:
        return f"it is a log-likelihood by {row.k} importance samples, and this an ELBO: give k"
    if found.n < MIN_EXAMPLES:
        return (
            f"it is about 10,000 images, and this about {found.n}: measure {MIN_EXAMPLES:,} or more"
        )
    return ""


def compare(found: Evaluation, name: str) -> str:
    """One sentence that puts a number beside a published one; InputError if they do not compare."""
    if name not in PUBLISHED:
        raise InputError(f"no published row {name!r}: choose one of {', '.join(PUBLISHED)}")
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
        text += f"; with {row.k} samples instead of {found.k}, this bound would be no looser"
    if row.pixels == "static":
        text += "; the binary images are our own draw, not the file of Larochelle & Murray"
    return text
