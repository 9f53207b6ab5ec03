"""The interface of scikit-learn's estimators: hyper-parameters, tags, names of columns.

With it, scikit-learn's `clone`, pipelines, searches and `set_output` work on the models.
scikit-learn itself is not a dependency.
"""

import inspect
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Self

from ..backend import Array
from ..data.labels import text_array
from ..data.rows import RowFormat
from ..errors import InputError, InputTypeError
from ..train import Trainer

# arguments of other libraries, and what they are called here
OTHER_NAMES = {
    **dict.fromkeys(("validation_data", "x_val", "x_valid", "eval_set", "X_val"), "X_test"),
    **dict.fromkeys(("learning_rate", "learning_rate_init", "step_size"), "lr"),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_iter", "nb_epoch"), "epochs"),
    **dict.fromkeys(("bs", "minibatch_size"), "batch_size"),
    **dict.fromkeys(("n_components", "z_dim", "latent_size", "n_latent"), "latent_dim"),
    **dict.fromkeys(("hidden_dims", "hidden_layer_sizes", "hidden_dim"), "hidden"),
    **dict.fromkeys(("random_state",), "seed"),
    **dict.fromkeys(("loss", "reconstruction_loss"), "likelihood"),
    **dict.fromkeys(("patience", "early_stopping"), "callbacks=scratchvae.train.EarlyStopping(5)"),
    **dict.fromkeys(("gradient_clip_norm", "clipnorm", "max_grad_norm"), "clip_norm"),
}


# arguments of `fit` that are neither settings of the `Trainer` nor hyper-parameters
FIT = ("X_test", "y_test", "verbose", "callbacks")


def unknown_name(name: str, known: Any, what: str, others: Any, where: str) -> InputError:
    """The error for an unknown argument, with the known one that was probably meant.

    others are the arguments of `where`, which may be its right place.
    """
    meant = OTHER_NAMES.get(name, name)
    argument = meant.partition("=")[0]
    if argument in others:
        return InputTypeError(f"{what} {name!r}: pass {meant} to {where}")
    nearest = [meant] if argument in known else get_close_matches(name, known, 1)
    hint = f" (did you mean {nearest[0]}?)" if nearest else ""
    return InputTypeError(f"{what} {name!r}{hint}: choose among {', '.join(known)}")


def not_fitted(message: str) -> InputError:
    """An InputError that is also scikit-learn's NotFittedError, if scikit-learn is imported.

    It is looked up in `sys.modules`, because only code that imported it can catch its error.
    """
    exceptions = sys.modules.get("sklearn.exceptions")
    if exceptions is None:
        return InputError(message)

    class NotFitted(InputError, exceptions.NotFittedError):  # type: ignore[misc, name-defined]
        def __reduce__(self) -> Any:
            return not_fitted, self.args

    return NotFitted(message)


class HyperParameters:
    """What scikit-learn requires of a class whose hyper-parameters are dataclass fields."""

    def __new__(cls, *args: Any, **named: Any) -> Self:
        cls._check_names(named)
        return super().__new__(cls)

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    @classmethod
    def _check_names(cls, given: Iterable[str]) -> None:
        """Raises InputError for a name that is not a hyper-parameter."""
        known = cls._names()
        for name in given:
            if name not in known:
                what = f"{cls.__name__} has no hyper-parameter"
                raise unknown_name(name, known, what, FIT, "fit")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters: `type(model)(**model.get_params())` is an untrained copy.

        With deep, also nested ones, as in model__lr.
        """
        own = {name: getattr(self, name) for name in self._names()}
        parts = {n: v for n, v in own.items() if deep and hasattr(v, "get_params")}
        nested = {f"{n}__{k}": v for n, part in parts.items() for k, v in part.get_params().items()}
        return own | nested

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters for the next `fit`, which validates them."""
        self._check_names(name.partition("__")[0] for name in params)
        for name in sorted(params, key=lambda name: "__" in name):
            owner, _, nested = name.partition("__")
            if not nested:
                setattr(self, name, params[name])
            elif hasattr(part := getattr(self, owner), "set_params"):
                part.set_params(**{nested: params[name]})
            else:
                raise InputError(f"{owner} is {part!r}, which has no hyper-parameter {nested!r}")
        return self

    def __repr__(self) -> str:
        """The first four hyper-parameters, and those that differ from their defaults."""
        defaults = inspect.signature(type(self)).parameters
        shown = [
            f"{name}={value!r}"
            for i, (name, value) in enumerate(self.get_params(deep=False).items())
            if i < 4 or value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class Estimator(HyperParameters):
    """What scikit-learn requires of a model: its tags, the methods it calls, and column names."""

    n_features_: int
    rows_: RowFormat
    latent_dim: int

    def __sklearn_tags__(self) -> Any:
        # lazily: only scikit-learn calls this
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(three_d_array=True),
        )

    def check_fit_settings(self, settings: Iterable[str]) -> None:
        """Raises InputError for an argument that neither `fit` nor the `Trainer` knows."""
        trainers = list(inspect.signature(Trainer).parameters)[5:]
        for name in settings:
            if name not in trainers:
                known = [*FIT, "scale", "epochs", *trainers]
                others, where = set(self._names()) - set(known), f"{type(self).__name__}(...)"
                raise unknown_name(name, known, "fit has no argument", others, where)

    def inverse_transform(self: Any, z: Any) -> Array:
        """`decode`, under scikit-learn's name.        z (N,Z)  ->  (N,D)"""
        return self.decode(z)

    def fit_transform(self: Any, X: Any, y: Any = None, **settings: Any) -> Any:
        return self.fit(X, y, **settings).transform(X)

    def score(self: Any, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, nats per example, for a hyper-parameter search."""
        scores = self.score_samples(X, y=y)
        if not len(scores):
            raise InputError("the mean score of no examples is undefined: pass at least one row")
        return float(scores.mean())

    # --------------------------------------------------------------------------------- columns

    @property
    def n_features_in_(self) -> int:
        """`n_features_`, under scikit-learn's name."""
        return self.n_features_

    @property
    def feature_names_in_(self) -> Array:
        """The column names of the training data, if any: (D,), text."""
        if self.rows_.columns is None:
            raise AttributeError("the training data had no column names")
        return text_array(self.rows_.columns)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """The column names of `transform`: vae0, vae1, ... (Z,), text.

        input_features, if given, must be the column names of the training data.
        """
        if not hasattr(self, "n_features_"):
            raise not_fitted(f"this {type(self).__name__} has no columns: call fit first")
        if input_features is not None:
            if (n := len(input_features)) != self.n_features_:
                raise InputError(
                    f"input_features should have length equal to the {self.n_features_} features "
                    f"of the training data, got {n}"
                )
            if self.rows_.columns not in (None, tuple(input_features)):
                raise InputError("input_features is not equal to feature_names_in_")
        prefix = type(self).__name__.lower()
        return text_array(f"{prefix}{i}" for i in range(self.latent_dim))

    def set_output(self, *, transform: str | None = None) -> Self:
        """Make `transform` return a DataFrame ("pandas", "polars") or an array ("default")."""
        if transform not in (None, "default", "pandas", "polars"):
            raise InputError(
                f"set_output(transform=) must be default, pandas or polars, got {transform!r}"
            )
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # the name that `clone` copies
        return self

    def _as_output(self, codes: Array, X: Any) -> Any:
        """The codes (N,Z) of X in the container that `set_output` chose."""
        sklearn = sys.modules.get("sklearn")
        kind = sklearn.get_config()["transform_output"] if sklearn else "default"
        kind = getattr(self, "_sklearn_output_config", {}).get("transform", kind)
        if kind == "default":
            return codes
        try:
            library = import_module(kind)
        except ImportError:
            raise InputError(
                f"set_output(transform={kind!r}) needs {kind}, which is not installed: pip install "
                f"{kind}"
            ) from None
        names = list(self.get_feature_names_out())
        if kind == "polars":
            return library.DataFrame(codes, schema=names, orient="row")
        index = X.index if isinstance(X, library.DataFrame) else None
        return library.DataFrame(codes, columns=names, index=index)
