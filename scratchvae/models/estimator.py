"""scikit-learn's habits, without scikit-learn: what its `clone`, pipelines and searches ask."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Self

from ..backend import Array
from ..errors import InputError


def not_fitted(message: str) -> InputError:
    """An InputError, and scikit-learn's NotFittedError too.

    scikit-learn is looked up in `sys.modules`: where nobody imported it, nobody asks for its error.
    """
    exceptions = sys.modules.get("sklearn.exceptions")
    if exceptions is None:
        return InputError(message)

    class NotFitted(InputError, exceptions.NotFittedError):  # type: ignore[misc, name-defined]
        def __reduce__(self) -> Any:
            return not_fitted, self.args

    return NotFitted(message)


class Estimator:
    """Hyper-parameters are the arguments of the constructor, kept as they came."""

    n_features_: int

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters: `type(model)(**model.get_params())` is its untrained twin."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters, for the next `fit`, which checks them."""
        names = self._names()
        for name in params:
            if name not in names:
                known = ", ".join(names)
                raise InputError(
                    f"{type(self).__name__} has no hyper-parameter {name!r}: {known} (epochs, "
                    "lr and the like are arguments of fit)"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """The first four hyper-parameters, and those that differ from their default."""
        defaults = inspect.signature(type(self)).parameters
        shown = [
            f"{name}={value!r}"
            for i, (name, value) in enumerate(self.get_params().items())
            if i < 4 or value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_tags__(self) -> Any:
        # on use: only scikit-learn asks
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(three_d_array=True),
        )

    @property
    def n_features_in_(self) -> int:
        """`n_features_`, by scikit-learn's name."""
        return self.n_features_

    def fit(self, X: Any, y: Any = None, **settings: Any) -> Self:
        raise NotImplementedError

    def encode(self, X: Any) -> Any:
        raise NotImplementedError

    def decode(self, z: Any) -> Array:
        raise NotImplementedError

    def score_samples(self, X: Any) -> Array:
        raise NotImplementedError

    def transform(self, X: Any) -> Array:
        """The code that stands for each row: the mean of q(z|x).        X (N,D)  ->  (N,Z)"""
        codes = self.encode(X)
        return codes[0] if isinstance(codes, tuple) else codes

    def inverse_transform(self, z: Any) -> Array:
        """`decode`, by scikit-learn's name.        z (N,Z)  ->  (N,D)"""
        return self.decode(z)

    def fit_transform(self, X: Any, y: Any = None, **settings: Any) -> Array:
        return self.fit(X, y, **settings).transform(X)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, nats per example: what a search maximises."""
        return float(self.score_samples(X).mean())
