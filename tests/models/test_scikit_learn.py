"""scikit-learn's conventions: its estimator checks, and its tools with our models."""

import copy
import pickle
import sys
import warnings
from functools import partial

import numpy as np
import pytest

from scratchvae import (
    IWAE,
    VAE,
    AnomalyDetector,
    Autoencoder,
    ConditionalVAE,
    InputError,
    SemiSupervisedVAE,
)
from scratchvae.errors import DataWarning
from scratchvae.models.parameters import not_fitted
from scratchvae.train import Trainer

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

SMALL = {"latent_dim": 2, "hidden": (8,), "likelihood": "gaussian", "scale": "standard"}
MODELS = [
    VAE(**SMALL),
    Autoencoder(**SMALL),
    IWAE(k=2, **SMALL),
    ConditionalVAE(**SMALL),
    # wide enough to learn three blobs in the 30 steps that a check's `fit` takes
    SemiSupervisedVAE(**(SMALL | {"hidden": (128,)})),
]
DETECTORS = [AnomalyDetector(VAE(**SMALL)), AnomalyDetector(Autoencoder(**SMALL), 0.2)]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)

NEEDS_Y = "q(z|x,y) is of a row with its label, and the check calls transform(X) without y"

EXPECTED = {
    ConditionalVAE: {
        "check_dict_unchanged": NEEDS_Y,
        "check_dtype_object": NEEDS_Y,
        "check_estimators_dtypes": NEEDS_Y,
        "check_estimators_pickle": NEEDS_Y,
        "check_f_contiguous_array_estimator": NEEDS_Y,
        "check_fit_idempotent": NEEDS_Y,
        "check_methods_sample_order_invariance": NEEDS_Y,
        "check_methods_subset_invariance": NEEDS_Y,
        "check_transformer_data_not_an_array": NEEDS_Y,
        "check_transformer_general": NEEDS_Y,
    },
    SemiSupervisedVAE: {
        "check_classifiers_classes": (
            "the check's last labels are -1 and 1, and -1 says that there is no label; it spares "
            "scikit-learn's own semi-supervised models by their names"
        ),
        "check_supervised_y_2d": (
            "a column of labels is read as labels, without scikit-learn's DataConversionWarning"
        ),
    },
}


with warnings.catch_warnings():
    # the models have a BaseEstimator's habits, but scikit-learn is not needed to use them
    warnings.filterwarnings("ignore", "Estimator .* does not inherit from .*BaseEstimator")
    marks = parametrize_with_checks(
        MODELS + DETECTORS, expected_failed_checks=lambda model: EXPECTED.get(type(model), {})
    )
    names, checks = marks.args
    # older versions of scikit-learn give a generator, of which pytest warns
    own_checks = pytest.mark.parametrize(names, list(checks), **marks.kwargs)


@own_checks
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@each_model
def test_tags_say_what_fit_needs_and_what_the_model_is(model):
    tags = get_tags(model)
    assert tags.target_tags.required == isinstance(model, (ConditionalVAE, SemiSupervisedVAE))
    assert is_classifier(model) == hasattr(model, "predict")
    assert not tags.input_tags.sparse
    assert tags.input_tags.three_d_array
    detector = AnomalyDetector(model)
    assert is_outlier_detector(detector)
    assert get_tags(detector).target_tags.required == isinstance(model, ConditionalVAE)


# --------------------------------------------------- columns: pandas, polars, names of features

CODES = [model for model in MODELS if not isinstance(model, ConditionalVAE)]  # see NEEDS_Y
each_with_codes = pytest.mark.parametrize("model", CODES, ids=lambda m: type(m).__name__)


@each_with_codes
@pytest.mark.filterwarnings("ignore:X has feature names, but")  # the checks fit arrays, too
@pytest.mark.parametrize(
    "check",
    [
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_set_output_transform_polars",
        "check_global_output_transform_pandas",
        "check_global_set_output_transform_polars",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
    ],
)
def test_scikit_learns_checks_of_columns(check, model):
    getattr(estimator_checks, check)(type(model).__name__, model)


@each_model
def test_the_codes_of_labelled_rows_in_a_frame(model, X, y):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    model = clone(model).set_output(transform="pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"), index=range(100, 130))
    codes = model.fit_transform(frame, y, epochs=1)
    assert codes.columns.tolist() == model.get_feature_names_out().tolist()
    assert codes.index.tolist() == frame.index.tolist()
    plain = clone(model).set_output(transform="default").fit_transform(X, y, epochs=1)
    np.testing.assert_array_equal(codes, plain)


def test_a_pipeline_gives_frames(X):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pipe = make_pipeline(StandardScaler(), VAE(**SMALL)).set_output(transform="pandas")
    codes = pipe.fit_transform(pandas.DataFrame(X, columns=list("abcdef")))
    assert codes.columns.tolist() == ["vae0", "vae1"]
    assert pipe.get_feature_names_out().tolist() == ["vae0", "vae1"]
    assert clone(pipe).fit_transform(X).columns.tolist() == ["vae0", "vae1"]


def test_an_output_that_is_unknown_or_not_installed(monkeypatch, X):
    with pytest.raises(InputError, match="must be default, pandas or polars, got 'arrow'"):
        VAE().set_output(transform="arrow")
    monkeypatch.setitem(sys.modules, "polars", None)
    vae = VAE(**SMALL).fit(X, epochs=1).set_output(transform="polars").set_output()
    with pytest.raises(InputError, match="needs polars, which is not installed: pip install pol"):
        vae.transform(X)


def test_names_of_features_must_be_those_of_the_training_data(X):
    vae = VAE(**SMALL)
    with pytest.raises(NotFittedError, match="this VAE has no columns: call fit first"):
        vae.get_feature_names_out()
    vae.fit(X, epochs=1)
    assert vae.get_feature_names_out(list("uvwxyz")).tolist() == ["vae0", "vae1"]
    with pytest.raises(InputError, match="length equal to the 6 features of the training data, g"):
        vae.get_feature_names_out(["a"])


def readers(detector, y):
    """The methods that read rows, of a model or of a detector."""
    names = "predict transform predict_proba encode reconstruct score score_samples"
    names = [n for n in [*names.split(), "decision_function"] if hasattr(detector, n)]
    if getattr(detector, "needs_labels", False):
        return [partial(getattr(detector, n), y=y) for n in names]
    return [getattr(detector, n) for n in names]


@pytest.mark.parametrize("model", MODELS + DETECTORS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[X.columns[::-1]], "must be in the same order as they were in fit"),
        (
            lambda X: X.rename(columns={"a": "new", "b": "newer"}),
            "unseen at fit time: new, newer. Feature names seen at fit time, yet now missing: a, b",
        ),
        (lambda X: X[["a", "b"]], "seen at fit time, yet now missing: c, d, e, f"),
    ],
)
def test_a_frame_with_other_columns_is_refused(model, change, message, X, y):
    """As by `check_dataframe_column_names_consistency`, which wants several lines."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model = clone(model).fit(frame, y)
    assert model.feature_names_in_.tolist() == list("abcdef")
    assert model.feature_names_in_.dtype == object
    for read in readers(model, y):
        read(frame)
        with pytest.raises(InputError, match=message) as error:
            read(change(frame))
        assert "The feature names should match those that were passed" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", [VAE(**SMALL), DETECTORS[0]], ids=lambda m: type(m).__name__)
def test_names_that_fit_did_not_see_are_a_warning(model, X):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    model = clone(model).fit(X)
    assert not hasattr(model, "feature_names_in_")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    words = "X has feature names, but VAE was fitted without feature names"
    with pytest.warns(DataWarning, match=words):
        scores = model.score_samples(frame)
    np.testing.assert_array_equal(scores, model.score_samples(X))


# ---------------------------------------------------- what the failures above would leave unseen


@pytest.fixture
def X(rng):
    return rng.normal(size=(30, 6))


@pytest.fixture
def y(rng):
    return rng.integers(0, 3, 30)


def calls(model, X, y):
    """What the model says of each row, but for the bound, whose noise is the row's."""
    if isinstance(model, ConditionalVAE):
        return [model.transform(X, y), model.reconstruct(X, y)]
    more = [model.predict_proba(X)] if isinstance(model, SemiSupervisedVAE) else []
    return [model.transform(X), model.reconstruct(X), *more]


@each_model
def test_a_row_does_not_depend_on_its_company(model, X, y):
    model = clone(model).fit(X, y, epochs=1)
    some = [17, 3, 29]
    for whole, part in zip(calls(model, X, y), calls(model, X[some], y[some]), strict=True):
        np.testing.assert_allclose(part, whole[some], rtol=1e-5, atol=1e-6)


@each_model
def test_fit_forgets_the_last_fit_and_leaves_the_hyper_parameters(model, X, y):
    model = clone(model)
    before = model.get_params()
    scores = [model.fit(X, y, epochs=2).score_samples(X, y=y) for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    assert model.get_params() == before


@each_model
def test_objects_that_are_numbers_are_numbers(model, X, y):
    model = clone(model).fit(X.astype(object), y.astype(object), epochs=1)
    for a, b in zip(calls(model, X.astype(object), y), calls(model, X, y), strict=True):
        np.testing.assert_array_equal(a, b)
    X = X.astype(object)
    X[0, 0] = {"foo": "bar"}
    for kind in (InputError, TypeError):
        with pytest.raises(kind, match=r"got a ndarray of dtype object: .* number, not 'dict'"):
            model.fit(X, y)
    X[0, 0] = "red"
    with pytest.raises(InputError, match="object: could not convert string to float: 'red'"):
        model.fit(X, y)


# ------------------------------------------------------------------------ clones and copies


@each_model
def test_a_clone_is_the_same_model_untrained(model, X, y):
    trained = clone(model).set_params(seed=7, hidden=[5, 4]).fit(X, y, epochs=1)
    twin = clone(trained)
    assert type(twin) is type(trained)
    assert twin.get_params() == trained.get_params()
    assert not hasattr(twin, "params_")
    assert not hasattr(twin, "n_features_in_")
    twin.fit(X, y, epochs=1)
    np.testing.assert_array_equal(twin.params_.array, trained.params_.array)
    assert twin.n_features_in_ == 6


@each_model
def test_set_params_takes_effect_at_the_next_fit(model, X, y):
    model = clone(model).fit(X, y, epochs=1).set_params(latent_dim=3).fit(X, y, epochs=1)
    assert calls(model, X, y)[0].shape == (30, 3)


@each_model
def test_set_params_refuses_an_unknown_name_and_changes_nothing(model):
    model = clone(model)
    name = type(model).__name__
    with pytest.raises(
        InputError, match=f"{name} has no hyper-parameter 'latent_dims' .did you mean lat"
    ):
        model.set_params(seed=5, latent_dims=3)
    assert model.seed == 0


@each_model
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_a_copy_learns_on_its_own(model, copied, X, y):
    model = clone(model).fit(X, y, epochs=1)
    twin = copied(model)
    assert twin.get_params() == model.get_params()
    np.testing.assert_equal(twin.history_, model.history_)
    for a, b in zip(calls(twin, X, y), calls(model, X, y), strict=True):
        np.testing.assert_array_equal(a, b)
    for flat in (twin.params_, twin.gradients):
        for name, view in flat.items():
            assert np.shares_memory(view, flat.array), name
    before = model.params_.array.copy()
    Trainer(twin, X, y=y).run(1)
    assert (twin.params_["out_W"] != model.params_["out_W"]).any()
    np.testing.assert_array_equal(model.params_.array, before)


# ---------------------------------------------------------- pipelines, searches, cross-validation


@pytest.fixture(scope="module")
def blobs():
    """Three clouds of 12 numbers, far from [0, 1], and their numbers."""
    rng = np.random.default_rng(3)
    y = np.arange(150) % 3
    return 40 * rng.normal(size=(3, 12))[y] + 10 * rng.normal(size=(150, 12)), y


def classifier():
    return LogisticRegression(solver="newton-cg")  # the default solver warns with some SciPy


def test_codes_are_features_for_a_classifier(blobs):
    X, y = blobs
    vae = VAE(latent_dim=2, hidden=(32,), seed=1)
    pipe = Pipeline([("scale", MinMaxScaler()), ("vae", vae), ("classify", classifier())])
    pipe.fit(X, y, vae__epochs=60, vae__batch_size=16)
    assert len(pipe["vae"].history_) == 60
    assert pipe.score(X, y) > 0.9
    scaled = MinMaxScaler().fit_transform(X)
    codes = VAE(latent_dim=2, hidden=(32,), seed=1).fit(scaled, epochs=60, batch_size=16)
    np.testing.assert_allclose(pipe[:-1].transform(X), codes.encode(scaled)[0], rtol=1e-5)
    np.testing.assert_allclose(
        pipe[:-1].inverse_transform(codes.transform(scaled)),
        MinMaxScaler().fit(X).inverse_transform(codes.reconstruct(scaled)),
        rtol=1e-4,
    )
    check_is_fitted(pipe)
    with pytest.raises(NotFittedError):
        clone(pipe).predict(X)


def test_what_a_scaler_rounds_is_within_the_unit_interval():
    scaled = MinMaxScaler().fit_transform(np.array([[0.6, 0], [27 / 7, 1]]))
    assert scaled.max() > 1
    VAE(latent_dim=1, hidden=(3,)).fit(scaled, epochs=1)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        VAE(latent_dim=1, hidden=(3,)).fit(scaled * 1.0001, epochs=1)


def test_a_pipeline_that_classifies_with_few_labels(blobs):
    X, y = blobs
    names = np.array(["ash", "beech", "cedar"], dtype=object)[y]
    few = names.copy()
    few[30:] = -1
    model = SemiSupervisedVAE(latent_dim=2, hidden=(64,), likelihood="gaussian")
    pipe = make_pipeline(StandardScaler(), model)
    assert is_classifier(pipe)
    pipe.fit(X, few, semisupervisedvae__epochs=10, semisupervisedvae__batch_size=16)
    assert pipe.classes_.tolist() == ["ash", "beech", "cedar"]
    assert set(pipe.predict(X)) == set(names)
    assert (pipe.predict(X[30:]) == names[30:]).mean() > 0.9
    assert pipe.score(X[30:], names[30:]) > 0.9


def test_a_grid_search_over_latent_dim_and_beta(blobs):
    X = MinMaxScaler().fit_transform(blobs[0])
    grid = {"latent_dim": [1, 2], "beta": [0.5, 4.0]}
    folds = KFold(3)
    search = GridSearchCV(VAE(hidden=(8,)), grid, cv=folds, error_score="raise")
    search.fit(X, epochs=3)
    assert len(search.best_estimator_.history_) == 3
    assert search.best_estimator_.get_params().items() >= search.best_params_.items()

    def mean_score(params):
        scores = [
            VAE(hidden=(8,), **params).fit(X[train], epochs=3).score_samples(X[test]).mean()
            for train, test in folds.split(X)
        ]
        return np.mean(scores)

    by_hand = [mean_score(params) for params in search.cv_results_["params"]]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand, rtol=1e-6)
    assert len(set(by_hand)) == 4
    assert search.best_index_ == np.argmax(by_hand)
    assert search.transform(X).shape == (150, search.best_params_["latent_dim"])


def test_a_grid_search_over_the_settings_of_training(blobs):
    X = MinMaxScaler().fit_transform(blobs[0])
    grid = {"epochs": [1, 8], "lr": [1e-3, 1e-2], "batch_size": [16, 64]}
    search = GridSearchCV(VAE(latent_dim=2, hidden=(8,)), grid, cv=2, error_score="raise").fit(X)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 8
    assert search.best_params_ == {"epochs": 8, "lr": 1e-2, "batch_size": 16}
    assert len(search.best_estimator_.history_) == 8
    first, last = (
        np.mean([
            VAE(latent_dim=2, hidden=(8,), **params).fit(X[a]).score_samples(X[b]).mean()
            for a, b in KFold(2).split(X)
        ])
        for params in search.cv_results_["params"][:: len(scores) - 1]
    )  # fmt: skip
    np.testing.assert_allclose([first, last], scores[[0, -1]], rtol=1e-6)


def test_a_grid_search_over_a_detector(blobs):
    X, y = blobs
    outlier = np.where(y == 2, -1, 1)
    detector = AnomalyDetector(VAE(**SMALL | {"seed": 1}), 0.33)
    grid = {"model__epochs": [1, 40], "k": [None, 3]}
    search = GridSearchCV(detector, grid, cv=3, scoring="accuracy", error_score="raise")
    search.fit(X, outlier)
    assert len(search.best_estimator_.model_.history_) == search.best_params_["model__epochs"]
    assert set(search.predict(X)) == {-1, 1}
    assert search.best_estimator_.model is not search.best_estimator_.model_
    twin = clone(search.best_estimator_)
    assert twin.model is not search.best_estimator_.model
    assert twin.get_params().keys() == detector.get_params().keys()


def test_a_grid_search_inside_a_pipeline_takes_y(blobs):
    X, y = blobs
    pipe = make_pipeline(MinMaxScaler(clip=True), VAE(hidden=(8,)), classifier())
    search = GridSearchCV(pipe, {"vae__latent_dim": [1, 3]}, cv=2, error_score="raise")
    search.fit(X, y, vae__epochs=3)
    assert len(search.best_estimator_["vae"].history_) == 3
    assert search.predict(X).shape == (150,)


def test_cross_validation_of_a_classifier_and_of_a_conditional_density(blobs):
    X, y = blobs
    X = StandardScaler().fit_transform(X)
    shares = cross_val_score(
        SemiSupervisedVAE(**(SMALL | {"hidden": (64,)})), X, y, cv=3, params={"batch_size": 16}
    )
    assert shares.shape == (3,)
    assert (shares > 0.9).all()

    model = ConditionalVAE(**SMALL)
    folds = KFold(3)
    nats = cross_val_score(model, X, y, cv=folds, params={"epochs": 2})
    by_hand = [
        clone(model).fit(X[train], y[train], epochs=2).score_samples(X[test], y=y[test]).mean()
        for train, test in folds.split(X)
    ]
    np.testing.assert_allclose(nats, by_hand, rtol=1e-6)


def test_fit_transform_gives_the_codes_of_the_labels_where_there_is_no_code_without(X, y):
    model = ConditionalVAE(**SMALL)
    codes = model.fit_transform(X, y, epochs=1)
    np.testing.assert_array_equal(codes, model.encode(X, y)[0])
    assert (codes != model.encode(X, (y + 1) % 3)[0]).any()


def test_fit_transform_of_a_classifier_gives_the_codes_that_transform_will(X, y):
    model = SemiSupervisedVAE(**SMALL)
    codes = model.fit_transform(X, y, epochs=1)
    np.testing.assert_array_equal(codes, model.transform(X))
    assert (codes != model.transform(X, y)).any()


# ------------------------------------------------------------------------------------- errors


@each_model
def test_an_untrained_model_raises_both_errors(model, X):
    with pytest.raises(NotFittedError, match="is not fitted yet: call fit") as caught:
        clone(model).transform(X)
    again = pickle.loads(pickle.dumps(caught.value))
    for error in (caught.value, again):
        assert isinstance(error, InputError)
        assert isinstance(error, NotFittedError)
    assert str(again) == str(caught.value)
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(model))


def test_without_scikit_learn_it_is_an_input_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn.exceptions")
    assert type(not_fitted("no parameters")) is InputError


def test_sparse_data_are_refused_with_the_way_out(X):
    with pytest.raises(InputError, match=r"got a sparse csr_array: pass X.toarray\(\)"):
        VAE(**SMALL).fit(csr_array(X))


@pytest.mark.parametrize("kind", [ConditionalVAE, SemiSupervisedVAE])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([0, 0.5, 1], "not continuous values such as 0.5"),
        (np.array(["a", 1, 2], dtype=object), "numbers or names, not both"),
        (["a", "b", -1], "y holds the text '-1'"),
        ([[0, 1]] * 3, r"one label per row, \(3,\), got the shape \(3, 2\)"),
    ],
)
def test_unusable_labels_are_one_sentence(kind, y, message):
    with pytest.raises(InputError, match=message) as error:
        kind(**SMALL).fit(np.zeros((3, 4)), y, epochs=1)
    assert "\n" not in str(error.value)


def test_the_score_of_a_classifier_counts_the_rows_with_labels(X, y):
    model = SemiSupervisedVAE(**SMALL).fit(X, y, epochs=1)
    right = model.predict(X)
    wrong = (right + 1) % 3
    assert model.score(X, right) == 1
    assert model.score(X, right[:, None]) == 1
    half = np.where(np.arange(30) < 15, right, wrong)
    assert model.score(X, half) == 0.5
    half[10:] = -1
    assert model.score(X, half.tolist()) == 1
    with pytest.raises(InputError, match="no row of y has a label"):
        model.score(X, np.full(30, -1))
