"""The latent units on given data: codes, information per unit, and active units."""

from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..models import Labelled, Model, SemiSupervisedVAE
from ..train.measure import ACTIVE, prepare
from .metrics import unit_kl


class Data(NamedTuple):
    """Rows, their labels or None, and their name for messages; of pictures, their files."""

    X: np.ndarray
    y: np.ndarray | None
    name: str
    split: str  # "test split" or "rows"
    files: tuple[str, ...] | None = None
    numbers: np.ndarray | None = None  # see `row_numbers`
    label: str | None = None  # the name of the labels' column, if they come from a table
    lines: np.ndarray | None = None  # of a table: where each row stands in its file, from 1
    place: str = ""  # names that place by its number

    @property
    def row_numbers(self) -> np.ndarray:
        """The number of each row in its file, or its split, from 0."""
        return np.arange(len(self.X)) if self.numbers is None else self.numbers

    def called(self, i: Any, *more: str, explained: bool = True) -> str:
        """Row i in messages: its number, its place in the file, and further details.

        explained: say that the number is counted from 0.
        """
        place = "" if self.lines is None else self.place.replace("{}", str(self.lines[i]), 1)
        known = "; ".join(filter(None, ("counted from 0" * explained, place, *more)))
        return f"row {self.row_numbers[i]}" + (f" ({known})" if known else "")


def need_labels(model: type[Model], y: Any, name: str) -> None:
    """Raises InputError if y is None, for a model that needs labels."""
    if y is None:
        raise InputError(
            f"{name} has no labels, but a {model.__name__} needs them: name them with "
            "--label-column (label_column=), or use data with labels, such as a .npz file with X "
            "and y"
        )


def with_labels(model: Model, X: Any, y: Any, name: str) -> dict[str, Any]:
    """The argument y= for a model that takes labels, {} for other models.

    For a SemiSupervisedVAE, missing and unknown labels are replaced by its predictions.
    """
    if not isinstance(model, Labelled):
        return {}
    if isinstance(model, SemiSupervisedVAE):
        predicted = model.predict(X)
        y = predicted if y is None else np.where(np.isin(y, model.classes_), y, predicted)
    need_labels(type(model), y, name)
    return {"y": y}


def means(model: Model, X: Any, labels: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean and logvar of q(z|x) for each row; for a model without noise, its code and None."""
    codes = model.encode(X, **labels)
    return codes if isinstance(codes, tuple) else (codes, None)


def pixels(model: Model, X: Any, labels: dict[str, Any], settings: dict[str, Any]) -> np.ndarray:
    """The rows as `evaluate` uses them: binarised if the run's settings say so."""
    binarize = settings.get("binarize", "none")
    if binarize == "none":
        return X
    rows = prepare(model, X, labels.get("y"), binarize)[:, : model.n_features_]
    return rows // (255 // model.rows_.white)


class Units(NamedTuple):
    """The latent units on given data."""

    order: np.ndarray  # (Z,) unit indices, most informative first
    information: np.ndarray  # (Z,) mean KL, nats; without a prior, the variance of the codes
    active: np.ndarray  # (Z,) whether the variance of the codes exceeds ACTIVE
    mu: np.ndarray  # (N,Z) the codes
    std: np.ndarray | None  # (Z,) mean standard deviation of q(z|x); None without a prior
    labels: dict[str, Any]  # the argument y=, from `with_labels`


def units_of(model: Model, data: Data, settings: dict[str, Any]) -> Units:
    labels = with_labels(model, data.X, data.y, data.name)
    mu, logvar = means(model, pixels(model, data.X, labels, settings), labels)
    mu = mu.astype(np.float64)
    variance = mu.var(axis=0)
    information, std = variance, None
    if logvar is not None:
        logvar = logvar.astype(np.float64)
        information, std = unit_kl(mu, logvar), np.exp(logvar / 2).mean(axis=0)
    order = np.argsort(-information, kind="stable")
    return Units(order, information, variance > ACTIVE, mu, std, labels)
