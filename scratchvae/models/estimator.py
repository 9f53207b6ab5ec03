"""The interface of scikit-learn's estimators: hyper-parameters, tags, names of columns.

With it, scikit-learn's `clone`, pipelines, searches and `set_output` work on the models, and it is
not a dependency.
"""

import inspect
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Self

import numpy as np

from ..data.rows import RowFormat
from ..errors import InputError

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


def unknown_name(name: str, known: Any, what: str) -> InputError:
    """The error for an unknown argument, which names the nearest of those that are known."""
    nearest = OTHER_NAMES.get(name) or next(iter(get_close_matches(name, known, 1)), None)
    hint = f", perhaps {nearest}" if nearest else ""
    return InputError(f"{what} {name!r}{hint}: choose among {', '.join(known)}")


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


class Estimator:
    """What scikit-learn asks of an estimator whose hyper-parameters are a dataclass's fields."""

    n_features_: int
    rows_: RowFormat
    latent_dim: int

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters: `type(model)(**model.get_params())` is an untrained copy."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters for the next `fit`, which validates them."""
        names = self._names()
        for name in params:
            if name not in names:
                raise unknown_name(name, names, f"{type(self).__name__} has no hyper-parameter")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """The first four hyper-parameters, and those that differ from their defaults."""
        defaults = inspect.signature(type(self)).parameters
        shown = [
            f"{name}={value!r}"
            for i, (name, value) in enumerate(self.get_params().items())
            if i < 4 or value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_tags__(self) -> Any:
        # lazily: only scikit-learn calls this
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(three_d_array=True),
        )

    # --------------------------------------------------------------------------------- columns

    @property
    def n_features_in_(self) -> int:
        """`n_features_`, under scikit-learn's name."""
        return self.n_features_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The column names of the training data, if they had some: (D,), of text."""
        if self.rows_.columns is None:
            raise AttributeError("the training data had no column names")
        return np.array(self.rows_.columns, dtype=object)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns of `transform`: vae0, vae1, ... (Z,), of text."""
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self.latent_dim)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Make `transform` return a DataFrame ("pandas", "polars") or an array ("default")."""
        if transform not in (None, "default", "pandas", "polars"):
            raise InputError(
                f"set_output(transform=) must be default, pandas or polars, got {transform!r}"
            )
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # the name that `clone` copies
        return self

    def _as_output(self, codes: np.ndarray, X: Any) -> Any:
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
