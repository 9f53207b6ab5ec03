"""The base class of models with labels: labels as columns of the rows, and methods that take y.

A label is C one-hot columns after the D pixels of its row, all zero if the row is unlabelled:
mini-batches, training and evaluation need no code for labels.
"""

from typing import Any, Self

import numpy as np

from ..backend import Array
from ..backend.memory import Workspace
from ..data.batches import check_codes
from ..data.labels import UNLABELLED, known_labels, missing
from ..errors import InputError, warn_of_data, whole_number
from ..files import torch_names
from .model import Model
from .parameters import reads


def joined(z: Array, y: Array, ws: Workspace) -> Array:
    """The decoder's input: z (B,Z) and y (B,C)  ->  (B,Z+C)"""
    Z = z.shape[1]
    zy = ws("zy", len(z), Z + y.shape[1])
    zy[:, :Z], zy[:, Z:] = z, y
    return zy


class Labelled(Model):
    """A model of rows with labels. `fit` learns `classes_`, the sorted labels (C,)."""

    needs_labels = True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def build(self, n_features: int, classes: Any = 10) -> Self:
        """Initialise the parameters. classes: the labels, or their number C (then 0 to C - 1)."""
        if np.ndim(classes) == 0:
            classes = range(whole_number(classes, "classes"))
        self.classes_ = known_labels(classes)
        if np.ndim(classes) != 1 or len(self.classes_) == 0:
            raise InputError("classes must be a list of at least one label, or their number")
        return super().build(n_features)

    def _build_for_rows(self, rows: np.ndarray, y: Any) -> None:
        if y is None:
            raise InputError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: give a "
                "label for each row"
            )
        y = self.check_labels(y, len(rows))
        try:
            known = known_labels(y)
        except TypeError:
            raise InputError(
                "y must hold numbers or names, not both; a row without a label has the number -1"
            ) from None
        if len(known) == 0:
            raise InputError(
                f"{type(self).__name__} has no label to learn from: all of y is {UNLABELLED}"
            )
        if len(known) == 1 and missing(y).any():
            warn_of_data(
                f"y has only one class, {known.tolist()[0]!r}, because {UNLABELLED} means "
                f"unlabelled: if {UNLABELLED} is a class, name the classes 0 and 1"
            )
        self.build(rows.shape[1], known)

    # ---------------------------------------------------------------------------------- labels

    def check_labels(self, y: Any, n: int) -> np.ndarray:
        """y as an array (n,). Raises InputError if it is missing or not n valid labels."""
        if y is None:
            if not self.needs_labels:
                return np.full(n, UNLABELLED)
            raise InputError(f"{type(self).__name__} needs the label of each row: pass y")
        y = np.asarray(y)
        if y.shape == (n, 1):
            y = y[:, 0]
        if y.shape != (n,):
            remedy = ": for one-hot labels, pass y.argmax(axis=1)" if y.shape[:-1] == (n,) else ""
            raise InputError(
                f"y must hold one label per row, ({n},), got the shape {y.shape}{remedy}"
            )
        is_float = y.dtype.kind == "f"
        if is_float and not np.isfinite(y).all():
            raise InputError("y holds a NaN or an infinity: give unlabelled rows the label -1")
        if is_float and (broken := y[y % 1 != 0]).size:
            raise InputError(
                "y must hold labels, whole numbers or names, not continuous values such as "
                f"{broken[0]:g}"
            )
        if y.dtype.kind == "u" and not self.needs_labels and (y == np.iinfo(y.dtype).max).any():
            raise InputError(
                f"y is {y.dtype}, where -1 becomes {np.iinfo(y.dtype).max}: use y.astype(int) "
                "before setting a label to -1"
            )
        if y.dtype.kind in "UO" and (y == str(UNLABELLED)).any():
            raise InputError(
                "y holds the text '-1': beside names, mark unlabelled rows by the number -1 in an "
                "array of dtype=object"
            )
        if self.needs_labels and missing(y).any():
            raise InputError(
                f"{type(self).__name__} needs the label of each row, but y holds {UNLABELLED}, "
                "which means unlabelled: leave such rows out, or number the classes from 0"
            )
        return y

    def _one_hot(self, y: np.ndarray) -> np.ndarray:
        """y (N,)  ->  one-hot (N,C), booleans; an unlabelled row is all False."""
        place = {label: i for i, label in enumerate(self.classes_.tolist())}
        hot = np.zeros((len(y), len(place)), dtype=bool)
        unlabelled = missing(y)
        for i, label in enumerate(y.tolist()):
            if label in place:
                hot[i, place[label]] = True
            elif not unlabelled[i]:
                known = ", ".join(map(repr, place))
                raise InputError(f"label {label!r} is not one of the learned classes: {known}")
        return hot

    def check(self, X: Any, y: Any = None) -> np.ndarray:
        """X (N,D) and y (N,) as rows (N,D+C). Raises InputError if they do not fit the model."""
        X = super().check(X)
        hot = self._one_hot(self.check_labels(y, len(X)))
        if X.dtype == np.uint8:
            return np.concatenate((X, hot * np.uint8(255)), axis=1)
        return np.concatenate((X, hot), axis=1, dtype=X.dtype if X.dtype.kind == "f" else float)

    def _split(self, rows: Array) -> tuple[Array, Array]:
        """Rows (B,D+C)  ->  pixels (B,D), labels (B,C)"""
        return rows[:, : self.n_features_], rows[:, self.n_features_ :]

    # ------------------------------------------------------------------------------------ calls

    @property
    def _label_width(self) -> int:
        return len(self.classes_)

    @reads
    def encode(self, X: Any, y: Any = None) -> Any:
        """mu and logvar of q(z|x,y), both (N,Z), for the rows of X (N,D) and labels y (N,)."""
        return self.map_rows(self.encoder, self.check(X, y))

    def transform(self, X: Any, y: Any = None) -> Any:
        return self._as_output(self.encode(X, y)[0], X)

    def fit_transform(self, X: Any, y: Any = None, **settings: Any) -> Any:
        # equals a later `transform(X)`, if the model needs no labels
        return self.fit(X, y, **settings).transform(X, y if self.needs_labels else None)

    @reads
    def decode(self, z: Any, y: Any = None) -> np.ndarray:
        """The mean of p(x|z,y): z (N,Z), y (N,) or one label for all rows  ->  (N,D)"""
        self._check_built()
        return self._decoded(self._with_labels(check_codes(z, self.latent_dim, "z"), y))

    def _with_labels(self, z: np.ndarray, y: Any) -> np.ndarray:
        """The decoder's input: z (N,Z) and y (N,), or one label for all rows  ->  (N,Z+C)"""
        if y is None:
            raise InputError("decode needs a label: pass y, one for all codes or one per code")
        y = self.check_labels(np.full(len(z), y) if np.ndim(y) == 0 else y, len(z))
        if missing(y).any():
            raise InputError("decode needs the label of each code, but -1 means unlabelled")
        return np.concatenate((z, self._one_hot(y)), axis=1, dtype=self.dtype)

    @reads
    def reconstruct(self, X: Any, y: Any = None) -> np.ndarray:
        """Encode each row with its label, and decode its code: X (N,D), y (N,)  ->  (N,D)"""
        return self._reconstructed(self.check(X, y))

    def _decoder_input(self, z: Array, x: Array) -> Array:
        return joined(z, self._label(x), self._ws)

    def _label(self, x: Array) -> Array:
        """The labels of rows, one-hot (B,C)."""
        return self._split(x)[1]

    @reads
    def sample(
        self, n: int = 1, y: Any = None, *, draw: bool = False, seed: int | None = None
    ) -> np.ndarray:
        """n new examples (n,D) of label y, or of labels y (n,); without y, cycles through all.

        They are the means of p(x|z,y) at z from N(0, 1), or draws from it with draw=True.
        """
        self._check_built()
        z = self._codes_of_prior(n, seed)
        y = self.classes_[np.arange(n) % len(self.classes_)] if y is None else y
        zy = self._with_labels(z, y)
        return self._drawn(zy, seed) if draw else self._decoded(zy)

    def _build_for(self, arrays: Any) -> Self:
        classes = torch_names.width("decoder.0", arrays) - self.latent_dim
        if classes < 1:
            raise InputError(
                "decoder.0.weight has no columns for labels: the state is of another kind of model"
            )
        known = getattr(self, "classes_", ())
        D = torch_names.width(self._layers()[0][1], arrays) - classes
        return self.build(D, known if len(known) == classes else classes)
