"""scikit-learn's habits, without scikit-learn: what its `clone`, pipelines and searches ask."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np


class Estimator:
    """Hyper-parameters are the arguments of the constructor, kept as they came."""

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters: `type(model)(**model.get_params())` is its untrained twin."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters; they are checked, and take effect, when `fit` is called."""
        names = self._names()
        for name in params:
            if name not in names:
                known = ", ".join(names)
                raise InputError(f"{type(self).__name__} has no hyper-parameter {name!r}: {known}")
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

    def fit(self, X: Any, y: Any = None, **settings: Any) -> Self:
        raise NotImplementedError

    def encode(self, X: Any) -> Any:
        raise NotImplementedError

    def decode(self, z: Any) -> np.ndarray:
        raise NotImplementedError

    def score_samples(self, X: Any) -> np.ndarray:
        raise NotImplementedError

    def transform(self, X: Any) -> np.ndarray:
        """The code that stands for each row: the mean of q(z|x).        X (N,D)  ->  (N,Z)"""
        codes = self.encode(X)
        return codes[0] if isinstance(codes, tuple) else codes

    def inverse_transform(self, z: Any) -> np.ndarray:
        """`decode`, by scikit-learn's name.        z (N,Z)  ->  (N,D)"""
        return self.decode(z)

    def fit_transform(self, X: Any, y: Any = None, **settings: Any) -> np.ndarray:
        return self.fit(X, y, **settings).transform(X)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, nats per example: what a search maximises."""
        return float(self.score_samples(X).mean())
