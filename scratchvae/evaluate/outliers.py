"""Outlier detection with scikit-learn's interface: a model, and a threshold on its scores."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import InputError, finite_number
from ..models import VAE, Model
from ..models.estimator import HyperParameters, not_fitted
from ..models.scores import check
from ..models.scores.regret import SAMPLES


@dataclass(eq=False, repr=False)
class AnomalyDetector(HyperParameters):
    """Finds outliers: rows whose `score_samples` is lower than that of most training rows.

    model           any model of scratchvae; `fit` trains a copy of it. None: VAE()
    contamination   the share of training rows that count as outliers, in (0, 0.5]. If the model
                    has memorised its training rows, more new, normal rows are outliers; then
                    take a quantile of the scores of rows that `fit` did not see
    k               samples of z for each score, as in the model's `score_samples`; None: the ELBO
    kind            the score: "elbo", "reconstruction", "regret", "complexity" or "typicality", as
                    in the model's `score_samples`; the last compares with the training rows' mean

    Learned by `fit`: `model_`, the trained copy, `offset_`, the threshold, in nats, and `normal_`,
    the mean bound of the training rows, None unless kind is "typicality". A row has the same score
    and verdict alone and among others. `pickle` and `joblib` save a detector; `model_.save` saves
    its model. y holds labels; scoring ignores them unless the model needs them.
    """

    model: Model | None = None
    contamination: float = 0.01
    k: int | None = None
    kind: str = "elbo"

    def fit(self, X: Any, y: Any = None, **settings: Any) -> Self:
        """Train a copy of the model on X (N,D), and take the threshold from the scores of X.

        settings are arguments of the model's `fit`. Raises InputError for invalid input.
        """
        contamination = finite_number(self.contamination, "contamination", above=0)
        if contamination > 0.5:
            raise InputError(f"contamination must be at most 0.5, got {contamination:g}")
        model = self._untrained()
        check(model, self.kind, self.k)
        model.fit(X, y, **settings)
        normal = self._mean_bound(model, X, y) if self.kind == "typicality" else None
        scores = self._scores(model, normal, X, y)
        # all at once, for threads that read this detector
        offset = threshold(scores, contamination)
        self.__dict__.update(model_=model, offset_=offset, normal_=normal)
        return self

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """The score of each row of X, (N,), nats: larger is more normal."""
        model, _, normal = self._fitted()
        return self._scores(model, normal, X, y)

    def decision_function(self, X: Any, y: Any = None) -> np.ndarray:
        """`score_samples` minus `offset_`, (N,), nats: negative for an outlier."""
        model, offset, normal = self._fitted()
        return self._scores(model, normal, X, y) - offset

    def predict(self, X: Any, y: Any = None) -> np.ndarray:
        """The verdict on each row of X, (N,): -1 for an outlier, 1 for a normal row."""
        return np.where(self.decision_function(X, y) < 0, -1, 1)

    def fit_predict(self, X: Any, y: Any = None, **settings: Any) -> np.ndarray:
        """`fit` to X, then `predict` X."""
        return self.fit(X, y, **settings).predict(X, y)

    @property
    def n_features_in_(self) -> int:
        """The number of columns of the training data."""
        return self._fitted()[0].n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The column names of the training data, if any: (D,), text."""
        return self._fitted()[0].feature_names_in_

    def _untrained(self) -> Model:
        """A copy of the model without parameters. Raises InputError if it is not a model."""
        model = VAE() if self.model is None else self.model
        if not isinstance(model, Model):
            shown = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
            raise InputError(f"model must be a model of scratchvae, such as VAE(), got {shown}")
        return type(model)(**model.get_params(deep=False))

    def _fitted(self) -> tuple[Model, float, float | None]:
        learned = self.__dict__.copy()  # at one moment
        if "model_" not in learned:
            raise not_fitted("this AnomalyDetector has no threshold: call fit first")
        return learned["model_"], learned["offset_"], learned.get("normal_")

    def _scores(self, model: Model, normal: float | None, X: Any, y: Any) -> np.ndarray:
        more = {"y": y} if model.needs_labels else {}
        if self.kind == "typicality":
            more["normal"] = normal
        return model.score_samples(X, self.k, kind=self.kind, **more).astype(float)

    def _mean_bound(self, model: Model, X: Any, y: Any) -> float:
        labels = {"y": y} if model.needs_labels else {}
        return float(model.score_samples(X, self.k, **labels).mean(dtype=float))

    def __sklearn_tags__(self) -> Any:
        # lazily: only scikit-learn calls this
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="outlier_detector",
            target_tags=TargetTags(required=getattr(self.model, "needs_labels", False)),
            input_tags=InputTags(three_d_array=True),
        )


def threshold(scores: np.ndarray, contamination: float) -> float:
    """The score (nats, larger is more normal) below which that fraction of the rows lies.

    It is the score of a row: interpolating between two would give NaN if one were infinite.
    """
    return float(np.quantile(scores, contamination, method="higher"))


def meaning(model: Model, kind: str, k: int | None, normal: float | None = None) -> str:
    """The negative of `score_samples` in words, with its unit and samples of z."""
    cost = "the negative ELBO" if k is None else "the negative importance-weighted bound"
    cost += " of x given its label" * model.needs_labels
    cost = cost if model.noisy else "the reconstruction error"
    what = {
        "elbo": cost,
        "reconstruction": "-log p(x|z)",
        "regret": "the likelihood regret: how much refining q(z|x) lowers the negative ELBO",
        "complexity": f"{cost} minus the length of the row compressed by zlib",
        "typicality": f"the distance of {cost} from {-(normal or 0):.2f}, the training mean",
    }[kind]
    draws = model.draws if k is None else f"{k} samples of z"
    if kind == "regret":
        draws = f"{k or SAMPLES} samples of z"
    return f"{what}, in nats" + (f", from {draws}" if model.noisy else "")
