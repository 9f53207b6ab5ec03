"""Diagnose posterior collapse: count the dead units, and list likely causes with their evidence.

A unit whose q(z|x) is the same for every x carries no information. Each likely cause has one
function, which checks the settings and the history of the run, and yields a sentence if it applies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from ..backend import noise
from ..data.batches import to_float
from ..errors import InputError
from ..models import Labelled, Model, SemiSupervisedVAE
from . import metrics

FULL, PARTIAL, SPARE, NONE = "full collapse", "partial collapse", "spare units", "no dead units"
# nats of information: below NEGLIGIBLE there is practically none; dead units may be spare if the
# code carries more than INFORMATIVE
NEGLIGIBLE, INFORMATIVE = 0.25, 1.0
MAX_ROWS = 1000  # rows for the mutual information, which compares all pairs
MIN_ROWS = 10
SAMPLES = 64  # decoded samples from the prior


@dataclass(frozen=True)
class CollapseReport:
    """The diagnosis, with its numbers in nats; `str` puts it into words."""

    verdict: str  # FULL, PARTIAL, SPARE or NONE
    n: int  # rows
    active: np.ndarray  # (Z,) booleans: the variance of the unit's means exceeds 0.01
    unit_kl: np.ndarray  # (Z,) mean KL of each unit
    information: float  # estimate of I(x; z)
    information_limit: float  # upper limit of that estimate: log of the number of rows it uses
    spread: float  # variance of decoded samples z ~ N(0, 1), as a fraction of the data's variance;
    # both for the first label, if the model has labels
    findings: tuple[str, ...]  # one sentence each, with its evidence

    def __str__(self) -> str:
        on, kl = self.active, self.unit_kl
        information, limit = max(self.information, 0), self.information_limit
        counts = f"""{self.verdict}
  {on.sum()} of {len(on)} units are active (variance of their means > 0.01, over {self.n:,} rows)
  mutual information of x and z: about {information:.2f} nats (at most {limit:.2f} can be measured)
  KL: {kl.sum():.2f} nats, from {kl.min():.3f} to {kl.max():.3f} per unit
  decoded samples from the prior have {self.spread:.1%} of the variance of the data"""
        return "\n- ".join((counts, *self.findings))


@dataclass(frozen=True)
class Evidence:
    """The input of the rules: the model, some rows, and statistics of the units over all rows."""

    model: Any
    x: np.ndarray  # (n,D) floating point
    x_hat: np.ndarray  # (n,D) their reconstructions
    active: np.ndarray  # (Z,)
    unit_kl: np.ndarray  # (Z,)
    information: float  # I(x; z), nats
    full: bool  # whether no unit is active and the information is negligible

    def __getitem__(self, name: str) -> Any:
        """A hyper-parameter, or its neutral value for a model that has none."""
        return getattr(self.model, name, {"beta": 1.0, "free_bits": 0.0}.get(name))

    def series(self, column: str) -> np.ndarray:
        """A column of the history; empty for `kl` of M2, which includes the cost of the label."""
        labels_too = column == "kl" and isinstance(self.model, SemiSupervisedVAE)
        return np.array([] if labels_too else [row[column] for row in self.model.history_])


def _free(e: Evidence) -> Iterator[str]:
    dead = ~e.active
    if dead.any() and e.unit_kl[dead].max() < e["free_bits"]:
        yield (
            f"the KL of the dead units is below free_bits ({e['free_bits']:g}), so it is not "
            "penalised, and not the cause now"
        )


def _beta(e: Evidence) -> Iterator[str]:
    beta, D, below_capacity = e["beta"], e.x.shape[1], (e["capacity"] or 0) > e.unit_kl.sum()
    if beta > (1 if e.full else 1.5) and not below_capacity and not any(_free(e)):
        bug = f" (as if rec were averaged over {D} features)" if D / 2 < beta < 2 * D else ""
        cost = f"a nat of KL costs as much as {beta:g} nats of rec{bug}"
        yield f"beta is {beta:g}: {cost}: try beta 1"


def _capacity(e: Evidence) -> Iterator[str]:
    capacity, kl = e["capacity"], e.unit_kl.sum()
    if capacity is not None and kl < 1.25 * capacity + 0.1 and (e.full or capacity < len(e.active)):
        yield f"capacity, the target of the KL ({kl:.2f} nats), is {capacity:g}: try a larger one"


def _x_variance(e: Evidence) -> Iterator[str]:
    # a linear VAE encodes the principal components whose variance exceeds beta x_variance (Lucas
    # et al., arXiv:1911.02469)
    variance, own, x = e["x_variance"], e.x.var(axis=0).mean(), e.x - e.x.mean(axis=0)
    if variance is not None and variance > own:
        components = np.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x) / len(x)
        if (encoded := (components > e["beta"] * variance).sum()) < len(e.active):
            yield (
                f"x_variance is {variance:g} and divides the gradient of rec, but the mean "
                f"variance of a feature is {own:.2g}, and {encoded} principal components have more "
                "than beta times x_variance: try a smaller one, or None, which learns it"
            )


def _averaged(e: Evidence) -> Iterator[str]:
    rec, D, p = e.series("rec"), e.x.shape[1], np.clip(e.x_hat, 1e-6, 1 - 1e-6)
    if e.model.likelihood == "bernoulli" and len(rec) and D >= 30:
        cost = -(e.x * np.log(p) + (1 - e.x) * np.log1p(-p)).sum(axis=1).mean()
        if rec[-1] < 3 * cost / D:
            yield (
                f"rec in the history ends at {rec[-1]:.3f}, but reconstructions cost {cost:.1f}: "
                f"perhaps rec was averaged over {D} features but the KL summed (a beta of {D})"
            )


def _unstable(e: Evidence) -> Iterator[str]:
    rises = np.diff(loss := e.series("train_loss"))
    if len(rises) and rises.max() > max(0.05 * np.ptp(loss), 0.01 * abs(loss).min()):
        yield (
            f"the training loss rose in {(rises > 0).sum()} of {len(loss)} epochs, by up to "
            f"{rises.max():.1f} nats: perhaps too large a learning rate, or a KL schedule"
        )


def _uninformative_kl(e: Evidence) -> Iterator[str]:
    paid = np.maximum(e.unit_kl - e["free_bits"], 0).sum()
    if e.full and e["capacity"] is None and paid > 2 * NEGLIGIBLE:
        yield (
            f"a KL of {paid:.2f} nats carries no information: q(z|x) differs from the prior, but "
            "is the same for all x: perhaps too large a learning rate made the encoder ignore x: "
            "try a tenth of it"
        )


def _kl_fell(e: Evidence) -> Iterator[str]:
    kl = e.series("kl")
    if e.full and kl.max(initial=0) > NEGLIGIBLE and kl[-1] < kl.max() / 4:
        yield (
            f"the KL was {kl.max():.2f} nats in epoch {kl.argmax() + 1} and fell to {kl[-1]:.2f}: "
            "perhaps its weight became too large (kl_warmup, kl_cycle), or an update was too large"
        )


def _unexplained(e: Evidence) -> Iterator[str]:
    kl, epochs, D = e.series("kl"), len(e.model.history_), e.x.shape[1]
    if e.full and len(kl) > 2 and kl.max() < NEGLIGIBLE:
        yield (
            f"the KL was {kl[0]:.3f} nats in the first epoch and never above {kl.max():.3f}: "
            "perhaps the KL term dominated before the decoder learned to use z: try a VAE's "
            "kl_warmup or free_bits"
        )
    elif epochs:
        yield f"neither settings nor history ({epochs} epochs) explain it: perhaps train longer"
    else:
        yield (
            "no history: the model is untrained, or was perhaps trained elsewhere, on a loss that "
            f"averages rec (a beta of {D})"
        )


def _spare(e: Evidence) -> Iterator[str]:
    kl, on = e.unit_kl, e.active
    enough = e.information > INFORMATIVE and on.any() and not on.all()
    if enough and kl[on].mean() > 4 * kl[~on].mean():
        yield (
            f"the active {on.sum()} units carry the information, with a KL of {kl[on].mean():.2f} "
            f"nats each (dead ones: {kl[~on].mean():.3f}); perhaps the data need no more units: "
            "this is normal for a large latent_dim, and not a collapse"
        )


SETTINGS = (_beta, _capacity, _x_variance, _averaged)  # if one applies, dead units are not spare
TRAINING = (_unstable, _uninformative_kl, _kl_fell, _free)


def collapse_report(model: Model, X: Any, y: Any = None) -> CollapseReport:
    """How many units are informative about X (N,D), and the likely causes if some are not.

    y (N,): the labels, for models that have them. The active units and the KL use all rows, the
    rest at most MAX_ROWS of them, evenly spaced. A unit is dead if it is not active
    (`metrics.active_units`). Dead units are spare if the code is informative and no setting
    explains them. Raises InputError for an Autoencoder, and for rows that are invalid, fewer than
    MIN_ROWS, or all equal.
    """
    if not model.noisy:
        raise InputError(
            f"{type(model).__name__} has no KL and no prior, so posterior collapse does not apply"
        )
    X = Model.check(model, X)
    some = np.linspace(0, len(X) - 1, min(len(X), MAX_ROWS)).astype(int)
    if len(X) < MIN_ROWS or (X[some] == X[0]).all():
        raise InputError(f"collapse is measured across rows: pass at least {MIN_ROWS} that differ")
    labels: list[Any] = [y] if isinstance(model, Labelled) else []
    mu, logvar = model.encode(X, *labels)
    on, kl = metrics.active_units(mu), metrics.unit_kl(mu, logvar)
    x_hat = model.reconstruct(X[some], *(y if y is None else np.asarray(y)[some] for y in labels))
    samples = model.sample(SAMPLES, *getattr(model, "classes_", ())[:1])  # of one label
    mu, logvar, x = mu[some], logvar[some], to_float(X[some], np.empty(X[some].shape))
    z = mu + np.exp(logvar / 2) * noise.normal(*mu.shape, seed=model.seed, stream=noise.SCORE)
    information = metrics.mutual_information(mu, logvar, z)
    same_label = x
    if isinstance(model, Labelled) and y is not None:
        same_label = x[np.asarray(y)[some] == model.classes_[0]]
    full = information < NEGLIGIBLE and not on.any()
    e = Evidence(model, x, x_hat, on, kl, information, full)
    # the variance of all rows, if those of the label are equal
    variance = same_label.var(axis=0).sum() or x.var(axis=0).sum()
    limit, spread = log(len(some)), float(samples.var(axis=0).sum() / variance)

    findings = [text for rule in SETTINGS for text in rule(e)]
    if information >= NEGLIGIBLE and (on.all() or (not findings and any(_spare(e)))):
        verdict, findings = NONE if on.all() else SPARE, [*_spare(e)]
    else:
        verdict = FULL if e.full else PARTIAL
        findings += [text for rule in TRAINING for text in rule(e)]
        findings = findings or [*_unexplained(e)]
    return CollapseReport(verdict, len(X), on, kl, information, limit, spread, tuple(findings))
