"""Posterior collapse, in words: whether codes still tell of x, and what speaks for which cause.

A unit whose q(z|x) is the same for every x tells nothing. Such units are counted; then settings and
history are asked by one small function a cause, which yields a sentence with its evidence, or none.
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
LITTLE, MUCH = 0.25, 1.0  # nats: less is next to nothing; units beside so much may be spare
ROWS, LEAST, SAMPLES = 1000, 10, 64  # rows compared in pairs; rows needed; samples of the decoder


@dataclass(frozen=True)
class CollapseReport:
    """What the rows show, in nats; `str` puts it into words."""

    verdict: str  # FULL, PARTIAL, SPARE or NONE
    n: int  # rows
    active: np.ndarray  # (Z,) booleans: the variance of the unit's means exceeds 0.01
    unit_kl: np.ndarray  # (Z,) mean KL of each unit
    information: float  # estimate of I(x; z)
    most: float  # what that can be at most: log of the number of rows compared in pairs
    spread: float  # variance of what the decoder makes of z ~ N(0, 1), as a share of the data's;
    # where there are labels, both of the first one
    findings: tuple[str, ...]  # one sentence each, with its evidence

    def __str__(self) -> str:
        on, kl = self.active, self.unit_kl
        counts = f"""{self.verdict}
  {on.sum()} of {len(on)} units are active (over {self.n:,} rows, their means vary by > 0.01)
  z tells about {max(self.information, 0):.2f} nats of x (at most {self.most:.2f} can show here)
  the KL is {kl.sum():.2f} nats, that of a unit from {kl.min():.3f} to {kl.max():.3f}
  over z from the prior, the decoder varies by {self.spread:.1%} of the variance of the data"""
        return "\n- ".join((counts, *self.findings))


@dataclass(frozen=True)
class Evidence:
    """What the rules look at: the model, some rows, and what all rows say of the units."""

    model: Any
    x: np.ndarray  # (n,D) floating point
    x_hat: np.ndarray  # (n,D) their reconstructions
    active: np.ndarray  # (Z,)
    unit_kl: np.ndarray  # (Z,)
    told: float  # I(x; z), nats
    full: bool  # whether no unit is active and z tells next to nothing

    def __getitem__(self, name: str) -> Any:
        """A hyper-parameter, or what a model without it has in its place."""
        return getattr(self.model, name, {"beta": 1.0, "free_bits": 0.0}.get(name))

    def series(self, column: str) -> np.ndarray:
        """A column of the history; M2's `kl` is empty, for it holds the cost of the label too."""
        labels_too = column == "kl" and isinstance(self.model, SemiSupervisedVAE)
        return np.array([] if labels_too else [row[column] for row in self.model.history_])


def _free(e: Evidence) -> Iterator[str]:
    dead = ~e.active
    if dead.any() and e.unit_kl[dead].max() < e["free_bits"]:
        yield f"dead units' KL is below free_bits ({e['free_bits']:g}): free, so not to blame now"


def _beta(e: Evidence) -> Iterator[str]:
    beta, D, drawn_up = e["beta"], e.x.shape[1], (e["capacity"] or 0) > e.unit_kl.sum()
    if beta > (1 if e.full else 1.5) and not drawn_up and not any(_free(e)):
        bug = f" (as if rec were averaged over {D} features)" if D / 2 < beta < 2 * D else ""
        yield f"beta is {beta:g}: a nat of KL costs {beta:g} times what it tells{bug}: try beta 1"


def _capacity(e: Evidence) -> Iterator[str]:
    capacity, kl = e["capacity"], e.unit_kl.sum()
    if capacity is not None and kl < 1.25 * capacity + 0.1 and (e.full or capacity < len(e.active)):
        yield f"capacity is {capacity:g} nats, and the loss draws the KL to it ({kl:.2f}): try more"


def _x_variance(e: Evidence) -> Iterator[str]:
    # a linear VAE keeps directions of more than beta x_variance (Lucas et al., arXiv:1911.02469)
    variance, own, x = e["x_variance"], e.x.var(axis=0).mean(), e.x - e.x.mean(axis=0)
    if variance is not None and variance > own:
        directions = np.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x) / len(x)
        if (kept := (directions > e["beta"] * variance).sum()) < len(e.active):
            yield (
                f"x_variance is {variance:g}, and divides rec's gradient, as averaging would; yet "
                f"a feature varies by {own:.2g}, {kept} directions by more than beta times it: try "
                "a smaller one, or None, which learns it"
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


def _rough(e: Evidence) -> Iterator[str]:
    rises = np.diff(loss := e.series("train_loss"))
    if len(rises) and rises.max() > max(0.05 * np.ptp(loss), 0.01 * abs(loss).min()):
        yield (
            f"the training loss rose in {(rises > 0).sum()} of {len(loss)} epochs, by up to "
            f"{rises.max():.1f} nats: perhaps too large a learning rate, or a schedule of the KL"
        )


def _wasted(e: Evidence) -> Iterator[str]:
    paid = np.maximum(e.unit_kl - e["free_bits"], 0).sum()
    if e.full and e["capacity"] is None and paid > 2 * LITTLE:
        yield (
            f"a KL of {paid:.2f} nats tells nothing: q(z|x) is not the prior, but alike for all x: "
            "perhaps too large a learning rate has silenced the encoder: try a tenth of it"
        )


def _given_up(e: Evidence) -> Iterator[str]:
    kl = e.series("kl")
    if e.full and kl.max(initial=0) > LITTLE and kl[-1] < kl.max() / 4:
        yield (
            f"the KL was {kl.max():.2f} nats in epoch {kl.argmax() + 1} and fell to {kl[-1]:.2f}: "
            "perhaps its weight grew too far (kl_warmup, kl_cycle), or a step was too large"
        )


def _otherwise(e: Evidence) -> Iterator[str]:
    kl, epochs, D = e.series("kl"), len(e.model.history_), e.x.shape[1]
    if e.full and len(kl) > 2 and kl.max() < LITTLE:
        yield (
            f"the KL was {kl[0]:.3f} nats in the first epoch and never above {kl.max():.3f}: "
            "perhaps it won before the decoder learned to use z: try a VAE's kl_warmup or free_bits"
        )
    elif epochs:
        yield f"neither settings nor history ({epochs} epochs) say why: perhaps train longer"
    else:
        yield f"no history: fresh parameters, or perhaps of a loss that averages rec (beta {D})"


def _spare(e: Evidence) -> Iterator[str]:
    kl, on = e.unit_kl, e.active
    if e.told > MUCH and on.any() and not on.all() and kl[on].mean() > 4 * kl[~on].mean():
        yield (
            f"the active {on.sum()} units carry the information, with a KL of {kl[on].mean():.2f} "
            f"nats each (dead ones: {kl[~on].mean():.3f}), and perhaps the data need no more: "
            "that is normal for so large a latent_dim, and no collapse"
        )


SETTINGS = (_beta, _capacity, _x_variance, _averaged)  # with one of them, dead units are no spares
SIGNS = (_rough, _wasted, _given_up, _free)  # of what went on in training


def collapse_report(model: Model, X: Any, y: Any = None) -> CollapseReport:
    """How many units tell of X (N,D), and what speaks for which cause where some do not.

    y (N,): the labels, for models that have them. All rows count for the active units and the KL,
    at most ROWS of them, evenly spaced, for the rest. A unit is dead if it is not active
    (`metrics.active_units`); dead units are spare where the others say much and no setting is to
    blame. Raises InputError for an Autoencoder, and for rows that are unusable, few, or all alike.
    """
    if not model.noisy:
        raise InputError(f"{type(model).__name__} has no KL and no prior: nothing can collapse")
    X = Model.check(model, X)
    some = np.linspace(0, len(X) - 1, min(len(X), ROWS)).astype(int)
    if len(X) < LEAST or (X[some] == X[0]).all():
        raise InputError(f"a collapse shows where rows differ: pass at least {LEAST} that do")
    labels: list[Any] = [y] if isinstance(model, Labelled) else []
    mu, logvar = model.encode(X, *labels)
    on, kl = metrics.active_units(mu), metrics.unit_kl(mu, logvar)
    x_hat = model.reconstruct(X[some], *(y if y is None else np.asarray(y)[some] for y in labels))
    made = model.sample(SAMPLES, *getattr(model, "classes_", ())[:1])  # of one label
    mu, logvar, x = mu[some], logvar[some], to_float(X[some], np.empty(X[some].shape))
    z = mu + np.exp(logvar / 2) * noise.normal(*mu.shape, seed=model.seed, stream=noise.SCORE)
    told = metrics.mutual_information(mu, logvar, z)
    alike = x
    if isinstance(model, Labelled) and y is not None:
        alike = x[np.asarray(y)[some] == model.classes_[0]]
    e = Evidence(model, x, x_hat, on, kl, told, told < LITTLE and not on.any())
    varied = alike.var(axis=0).sum() or x.var(axis=0).sum()  # of the label, if its rows differ
    most, spread = log(len(some)), float(made.var(axis=0).sum() / varied)

    findings = [text for rule in SETTINGS for text in rule(e)]
    if told >= LITTLE and (on.all() or (not findings and any(_spare(e)))):
        verdict, findings = NONE if on.all() else SPARE, [*_spare(e)]
    else:
        verdict = FULL if e.full else PARTIAL
        findings += [text for rule in SIGNS for text in rule(e)]
        findings = findings or [*_otherwise(e)]
    return CollapseReport(verdict, len(X), on, kl, told, most, spread, tuple(findings))
