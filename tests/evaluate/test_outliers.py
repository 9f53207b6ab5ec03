"""`AnomalyDetector`: verdicts by a threshold on the scores of any model."""

import pickle

import numpy as np
import pytest

from scratchvae import AnomalyDetector, Autoencoder, InputError, load_data
from scratchvae.evaluate import evaluate
from scratchvae.models import MODELS, VAE, ConditionalVAE, SemiSupervisedVAE
from scratchvae.models.scores import KINDS

ROWS = 300
SMALL = {"latent_dim": 3, "hidden": (16,), "seed": 1, "epochs": 2}
each_kind = pytest.mark.parametrize("kind", MODELS)


@pytest.fixture(scope="module")
def strokes():
    X, y = load_data("strokes")
    return X[:ROWS], y[:ROWS]


def labels(detector, y):
    """The argument y of `predict`, where the model needs one."""
    return {"y": y} if detector.model.needs_labels else {}


@each_kind
@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.5])
def test_that_share_of_the_training_rows_is_outliers(kind, contamination, strokes):
    X, y = strokes
    detector = AnomalyDetector(MODELS[kind](**SMALL), contamination)
    verdicts = detector.fit_predict(X, y)
    assert set(verdicts) == {-1, 1}
    assert (verdicts == -1).sum() == contamination * ROWS
    more = labels(detector, y)
    scores = detector.score_samples(X, **more)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, detector.model_.score_samples(X, **more))
    np.testing.assert_array_equal(detector.decision_function(X, **more), scores - detector.offset_)
    np.testing.assert_array_equal(verdicts, np.where(scores < detector.offset_, -1, 1))
    assert scores[verdicts == -1].max() < detector.offset_ == scores[verdicts == 1].min()


@each_kind
def test_a_row_alone_has_the_verdict_that_it_has_among_others(kind, strokes):
    X, y = strokes
    detector = AnomalyDetector(MODELS[kind](**SMALL), 0.2, 3 if MODELS[kind].noisy else None)
    detector.fit(X[:200], y[:200])
    more = labels(detector, y[200:])
    verdicts = detector.predict(X[200:], **more)
    decisions = detector.decision_function(X[200:], **more)
    assert set(verdicts) == {-1, 1}
    for i in range(20):
        row, more = X[200 + i : 201 + i], labels(detector, y[200 + i : 201 + i])
        assert detector.predict(row, **more) == verdicts[i]
        assert detector.decision_function(row, **more) == decisions[i]


def test_what_was_never_seen_is_found(strokes):
    X, _ = strokes
    detector = AnomalyDetector(VAE(**SMALL | {"epochs": 30})).fit(X)
    noise = np.random.default_rng(0).integers(0, 256, (50, 784)).astype(np.uint8)
    assert (detector.predict(noise) == -1).all()


def test_k_samples_make_the_score(strokes):
    X, _ = strokes
    detector = AnomalyDetector(VAE(**SMALL), k=5).fit(X)
    np.testing.assert_array_equal(detector.score_samples(X), detector.model_.score_samples(X, 5))


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("score", KINDS)
def test_every_score_makes_verdicts(score, k, strokes):
    X, _ = strokes
    detector = AnomalyDetector(VAE(**SMALL), 0.1, k, score).fit(X)
    model = detector.model_
    normal = {}
    if score == "typicality":
        normal["normal"] = model.score_samples(X, k).mean(dtype=float)
    wanted = model.score_samples(X, k, kind=score, **normal)
    np.testing.assert_array_equal(detector.score_samples(X), wanted)
    assert (detector.predict(X) == -1).sum() == 0.1 * ROWS
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.decision_function(X[:9]), wanted[:9] - detector.offset_)


def test_a_threshold_at_an_infinite_score_is_no_nan(monkeypatch):
    scores = np.array([-np.inf, -np.inf, 3, 4], dtype="f4")
    monkeypatch.setattr(VAE, "score_samples", lambda self, X, k, kind: scores)
    detector = AnomalyDetector(VAE(**SMALL), 0.4)
    assert detector.fit_predict(np.zeros((4, 2))).tolist() == [-1, -1, 1, 1]
    assert detector.offset_ == 3


def test_the_model_stays_untrained_and_fit_takes_its_settings(strokes):
    X, _ = strokes
    model = VAE(**SMALL)
    detector = AnomalyDetector(model).fit(X, epochs=1, X_test=X[:9])
    assert not hasattr(model, "params_")
    assert len(detector.model_.history_) == 1
    twin = VAE(**SMALL).fit(X, epochs=1)
    np.testing.assert_array_equal(detector.model_.params_.array, twin.params_.array)
    assert AnomalyDetector().fit(X, epochs=1).model_.get_params() == VAE().get_params()


def test_a_fit_that_fails_changes_nothing(strokes):
    X, _ = strokes
    detector = AnomalyDetector(VAE(**SMALL)).fit(X)
    before = detector.model_, detector.offset_
    for change in ({"contamination": 0.6}, {"k": 0}, {"model__lr": -1.0}):
        old = detector.get_params()
        with pytest.raises(InputError):
            detector.set_params(**change).fit(X)
        assert (detector.model_, detector.offset_) == before
        detector.set_params(**{name: old[name] for name in change})


def test_labels_train_a_semi_supervised_model_and_score_none(strokes):
    X, y = strokes
    few = np.where(np.arange(ROWS) < 100, y, -1)
    detector = AnomalyDetector(SemiSupervisedVAE(**SMALL)).fit(X, few)
    assert detector.model_.classes_.tolist() == sorted(set(y[:100]))
    np.testing.assert_array_equal(detector.predict(X), detector.predict(X, y))
    np.testing.assert_array_equal(detector.score_samples(X), detector.model_.score_samples(X))


def test_a_model_that_needs_labels_asks_for_them(strokes):
    X, y = strokes
    detector = AnomalyDetector(ConditionalVAE(**SMALL)).fit(X, y)
    with pytest.raises(InputError, match="ConditionalVAE needs the label of each row: pass y"):
        detector.predict(X)


def test_a_pickle_gives_the_same_verdicts(strokes):
    X, _ = strokes
    detector = AnomalyDetector(VAE(**SMALL), 0.1).fit(X)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.decision_function(X), detector.decision_function(X))
    assert again.offset_ == detector.offset_


def test_hyper_parameters_of_the_model_are_nested():
    detector = AnomalyDetector(VAE(**SMALL), k=3)
    params = detector.get_params()
    assert list(params)[:4] == ["model", "contamination", "k", "kind"]
    assert params["model__epochs"] == 2
    assert list(detector.get_params(deep=False)) == ["model", "contamination", "k", "kind"]
    assert detector.set_params(model__lr=0.1, k=None) is detector
    assert (detector.model.lr, detector.k) == (0.1, None)
    other = VAE(seed=5)
    detector.set_params(model__latent_dim=7, model=other)
    assert detector.model is other
    assert other.latent_dim == 7
    shown = repr(AnomalyDetector(VAE(seed=5), 0.1))
    assert shown.startswith("AnomalyDetector(model=VAE(latent_dim=32, hidden=(400,)")
    assert shown.endswith("seed=5), contamination=0.1, k=None, kind='elbo')")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnomalyDetector(VAE), r"such as VAE\(\), got the class VAE$"),
        (lambda: AnomalyDetector("vae"), r"model must be a model of scratchvae.*got 'vae'"),
        (lambda: AnomalyDetector(contamination=0), "contamination must be a finite number > 0"),
        (lambda: AnomalyDetector(contamination=-1), "contamination must be a finite number > 0"),
        (lambda: AnomalyDetector(contamination="auto"), "contamination must be a finite number"),
        (
            lambda: AnomalyDetector(contamination=0.51),
            "contamination must be at most 0.5, got 0.51",
        ),
        (lambda: AnomalyDetector(k=0), "k must be a whole number >= 1, got 0"),
        (lambda: AnomalyDetector(Autoencoder(), k=2), "Autoencoder draws no samples of z"),
        (lambda: AnomalyDetector(kind="likelihood"), "kind must be one of elbo, reconstruction"),
        (lambda: AnomalyDetector(Autoencoder(), kind="regret"), "Autoencoder has no q"),
        (lambda: AnomalyDetector(VAE(likelihood="x")), "likelihood must be one of"),
        (
            lambda: AnomalyDetector(threshold=1),
            "AnomalyDetector has no hyper-parameter 'threshold'",
        ),
        (
            lambda: AnomalyDetector().set_params(model__lr=1),
            "model is None, which has no hyper-par",
        ),
        (lambda: AnomalyDetector(VAE()).set_params(model__l=1), "VAE has no hyper-parameter 'l'"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_training(make, message, monkeypatch):
    monkeypatch.setattr("scratchvae.train.trainer.Trainer.run", None)
    with pytest.raises(InputError, match=message) as error:
        make().fit(np.zeros((4, 9)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["predict", "decision_function", "score_samples"])
def test_before_fit_there_is_no_threshold(method):
    with pytest.raises(InputError, match="this AnomalyDetector has no threshold: call fit first"):
        getattr(AnomalyDetector(), method)(np.zeros((4, 9)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("value", [1e4, -1e4, 1e9, -1e9, 1e300])
def test_a_row_that_overflows_is_an_outlier(kind, k, value, rng):
    """A sensor's fill value must not give NaN, which is below no threshold."""
    X, y = rng.normal(size=(60, 5)), np.arange(60) % 2
    model = MODELS[kind](
        latent_dim=2, hidden=(8,), likelihood="gaussian", scale="standard", epochs=2, seed=0
    )
    detector = AnomalyDetector(model, 0.1, k=k if model.noisy else None).fit(X, y)
    X[0, 2] = X[1] = value
    scores = detector.score_samples(X[:3], y[:3])
    assert not np.isnan(scores).any()
    assert scores[2] > scores[:2].max()
    assert detector.predict(X[:3], y[:3])[:2].tolist() == [-1, -1]


def test_evaluation_names_the_rows_that_overflow(rng):
    X = rng.normal(size=(60, 5))
    vae = VAE(latent_dim=2, hidden=(8,), likelihood="gaussian", scale="standard", epochs=2, seed=0)
    vae.fit(X).params_["head_W"][:, 2:] = 1  # the log variances of a far row overflow
    X[3] = 1e9
    assert vae.score_samples(X[3:4]) == -np.inf
    words = "1 of 60 rows of the data given, first row 3, are so far from the training data"
    with pytest.raises(InputError, match=words):
        evaluate(vae, X)


def test_a_broken_model_gives_no_scores(strokes):
    X, _ = strokes
    vae = VAE(**SMALL).fit(X[:50])
    vae.params_["out_b"][0] = np.nan
    with pytest.raises(InputError, match="a parameter of the model is NaN or infinite"):
        vae.score_samples(X)
