"""Diagnose posterior collapse: count the dead units, and list likely causes with their evidence.

A unit whose q(z|x) is the same for every x carries no information. Each likely cause is a condition
on the settings or the history of the run, with a sentence for the report.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, log
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
# a run with fewer optimiser steps has barely started if its training loss still falls: in the last
# epoch by at least this share of the mean fall
BEGUN, FALLING = 100, 0.1


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
        information, rows = max(self.information, 0), min(self.n, MAX_ROWS)
        limit = f"{rows:,} rows limit it to {self.information_limit:.2f}"
        counts = f"""{self.verdict}
  {on.sum()} of {len(on)} units are active (variance of their means > 0.01, over {self.n:,} rows)
  mutual information of x and z: about {information:.2f} nats ({limit})
  KL: {kl.sum():.2f} nats, from {kl.min():.3f} to {kl.max():.3f} per unit
  decoded samples from the prior have {self.spread:.1%} of the variance of the data"""
        return "\n- ".join((counts, *self.findings))


def _setting(model: Model, name: str) -> Any:
    """A hyper-parameter, or its neutral value for a model without it."""
    return getattr(model, name, {"beta": 1.0, "free_bits": 0.0}.get(name))


def _series(model: Model, column: str) -> np.ndarray:
    """A column of the history; empty for `kl` of M2, which includes the cost of the label."""
    labels_too = column == "kl" and isinstance(model, SemiSupervisedVAE)
    return np.array([] if labels_too else [row[column] for row in model.history_])


def _rises(loss: np.ndarray) -> bool:
    """Whether the loss rose from one epoch to the next, by more than noise."""
    noise = max(0.05 * np.ptp(loss), 0.01 * abs(loss).min()) if len(loss) else 0.0
    return bool((np.diff(loss) > noise).any())


def _hardly_begun(model: Model) -> Iterator[str]:
    """The report on a run that is too short to show a cause."""
    loss, history = _series(model, "train_loss"), model.history_
    steps, falls = history[-1]["step"] if history else BEGUN, -np.diff(loss)
    falling = not len(falls) or 0 < FALLING * falls.mean() <= falls[-1]
    if steps < BEGUN and falling and not _rises(loss):
        epochs = f"{len(loss)} epoch{'s' * (len(loss) > 1)}"
        still = ", and its training loss still falls" * bool(len(falls))
        yield (
            f"the run took only {steps} optimiser steps ({epochs}){still}: train for "
            f"{ceil(BEGUN * len(loss) / steps)} epochs or more"
        )


def _settings(
    model: Model, report: CollapseReport, x: np.ndarray, x_hat: np.ndarray
) -> Iterator[str]:
    """The settings to blame, from floating-point rows x (n,D) and their reconstructions."""
    beta, capacity, variance = (_setting(model, n) for n in ("beta", "capacity", "x_variance"))
    full, kl, Z, D = report.verdict == FULL, report.unit_kl.sum(), len(report.active), x.shape[1]
    if beta > (1 if full else 1.5) and (capacity or 0) <= kl and not any(_free(model, report)):
        bug = f" (as if rec were averaged over {D} features)" if D / 2 < beta < 2 * D else ""
        cost = f"a nat of KL costs as much as {beta:g} nats of rec{bug}"
        yield f"beta is {beta:g}: {cost}: try beta 1"

    if capacity is not None and kl < 1.25 * capacity + 0.1 and (full or capacity < Z):
        yield f"capacity, the target of the KL ({kl:.2f} nats), is {capacity:g}: try a larger one"

    # a linear VAE encodes the principal components whose variance exceeds beta x_variance (Lucas
    # et al., arXiv:1911.02469)
    if variance is not None and variance > (own := x.var(axis=0).mean()):
        centred = x - x.mean(axis=0)
        product = centred @ centred.T if len(x) < D else centred.T @ centred
        components = np.linalg.eigvalsh(product) / len(x)
        if (encoded := (components > beta * variance).sum()) < Z:
            yield (
                f"x_variance is {variance:g} and divides the gradient of rec, but the mean "
                f"variance of a feature is {own:.2g}, and {encoded} principal components exceed "
                "beta times x_variance: try a smaller one, or None, which learns it"
            )

    rec = _series(model, "rec")
    if model.likelihood == "bernoulli" and len(rec) and D >= 30:
        p = np.clip(x_hat, 1e-6, 1 - 1e-6)
        cost = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1).mean()
        if rec[-1] < 3 * cost / D:
            yield (
                f"rec in the history ends at {rec[-1]:.3f}, but reconstructions cost {cost:.1f}: "
                f"perhaps rec was averaged over {D} features, but the KL summed (a beta of {D})"
            )


def _training(model: Model, report: CollapseReport) -> Iterator[str]:
    """What the history and the current KL say about the training."""
    full, loss, kl = report.verdict == FULL, _series(model, "train_loss"), _series(model, "kl")
    rises = np.diff(loss)
    if _rises(loss):
        yield (
            f"the training loss rose in {(rises > 0).sum()} of {len(loss)} epochs, by up to "
            f"{rises.max():.1f} nats: perhaps too large a learning rate, or a KL schedule"
        )

    paid = np.maximum(report.unit_kl - _setting(model, "free_bits"), 0).sum()
    if full and _setting(model, "capacity") is None and paid > 2 * NEGLIGIBLE:
        yield (
            f"a KL of {paid:.2f} nats carries no information: q(z|x) differs from the prior, but "
            "is the same for all x: perhaps too large a learning rate made the encoder ignore x: "
            "try a tenth of it"
        )

    if full and kl.max(initial=0) > NEGLIGIBLE and kl[-1] < kl.max() / 4:
        yield (
            f"the KL was {kl.max():.2f} nats in epoch {kl.argmax() + 1} and fell to {kl[-1]:.2f}: "
            "perhaps its weight became too large (kl_warmup, kl_cycle), or an update was too large"
        )
    yield from _free(model, report)


def _free(model: Model, report: CollapseReport) -> Iterator[str]:
    free_bits, dead = _setting(model, "free_bits"), ~report.active
    if dead.any() and report.unit_kl[dead].max() < free_bits:
        yield (
            f"the KL of the dead units is below free_bits ({free_bits:g}), so it is not "
            "penalised, and not the cause now"
        )


def _unexplained(model: Model, report: CollapseReport) -> str:
    kl, epochs = _series(model, "kl"), len(model.history_)
    if report.verdict == FULL and len(kl) > 2 and kl.max() < NEGLIGIBLE:
        return (
            f"the KL was {kl[0]:.3f} nats in the first epoch and never above {kl.max():.3f}: "
            "perhaps the KL term dominated before the decoder learned to use z: try a VAE's "
            "kl_warmup or free_bits"
        )
    if epochs:
        return f"neither settings nor history ({epochs} epochs) explain it: train longer"
    return (
        "no history: the model is untrained, or was trained elsewhere, perhaps on a loss that "
        f"averages rec (a beta of {model.n_features_})"
    )


def _spare(report: CollapseReport) -> Iterator[str]:
    kl, on = report.unit_kl, report.active
    enough = report.information > INFORMATIVE and on.any() and not on.all()
    if enough and kl[on].mean() > 4 * kl[~on].mean():
        yield (
            f"the active {on.sum()} units carry the information, with a KL of {kl[on].mean():.2f} "
            f"nats each (dead ones: {kl[~on].mean():.3f}); perhaps the data need no more units: "
            "this is normal for a large latent_dim, not a collapse"
        )


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
    scaled = Model.check(model, X)
    X = model.rows_.check(X, type(model).__name__)
    some = np.linspace(0, len(X) - 1, min(len(X), MAX_ROWS)).astype(int)
    if len(X) < MIN_ROWS or (X[some] == X[0]).all():
        raise InputError(f"collapse is measured across rows: pass at least {MIN_ROWS} that differ")
    labels: list[Any] = [y] if isinstance(model, Labelled) else []
    mu, logvar = model.encode(X, *labels)
    on, kl = metrics.active_units(mu), metrics.unit_kl(mu, logvar)
    x_hat = model.reconstruct(X[some], *(y if y is None else np.asarray(y)[some] for y in labels))
    samples = model.sample(SAMPLES, *getattr(model, "classes_", ())[:1])  # of one label
    # as the model computes with them: X, reconstructions and samples are in the data's units
    x_hat, samples = (model.rows_.rescaled(a.astype(np.float64)) for a in (x_hat, samples))
    mu, logvar, x = mu[some], logvar[some], to_float(scaled[some], np.empty(X[some].shape))
    z = mu + np.exp(logvar / 2) * noise.normal(*mu.shape, seed=model.seed, stream=noise.SCORE)
    information = metrics.mutual_information(mu, logvar, z)
    same_label = x
    if isinstance(model, Labelled) and y is not None:
        same_label = x[np.asarray(y)[some] == model.classes_[0]]
    # the variance of all rows, if those of the label are equal
    variance = same_label.var(axis=0).sum() or x.var(axis=0).sum()
    limit, spread = log(len(some)), float(samples.var(axis=0).sum() / variance)
    verdict = FULL if information < NEGLIGIBLE and not on.any() else PARTIAL
    report = CollapseReport(verdict, len(X), on, kl, information, limit, spread, ())

    blamed = [*_settings(model, report, x, x_hat)]
    if information >= NEGLIGIBLE and (on.all() or (not blamed and any(_spare(report)))):
        verdict = NONE if on.all() else SPARE
        return replace(report, verdict=verdict, findings=tuple(_spare(report)))
    findings = [*_hardly_begun(model)] or [*blamed, *_training(model, report)]
    findings = findings or [_unexplained(model, report)]
    return replace(report, findings=tuple(findings))
