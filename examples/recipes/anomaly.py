"""Anomaly detection: the AUROC of VAE scores and of other detectors.

    python examples/recipes/anomaly.py DIR               MNIST, one digit left out of training
    python examples/recipes/anomaly.py DIR --digits 1,9 --peers       two digits, more detectors
    python examples/recipes/anomaly.py --tables          the tables that scikit-learn ships
    python examples/recipes/anomaly.py DIR --pair fashion-mnist mnist     learn A, detect B

MNIST: for each digit, a VAE with two units is trained on the other nine, and the test images are
ranked. The published mean for the negative ELBO of a VAE with two units is 0.855, and 1, 4, 7, 9
are hard (Tonnaer, PhD thesis, TU/e, table 3.3; the architecture is not stated).

Columns:
ELBO, rec, regret, complex, typical: the scores of `score_samples`.
x10: for ten images, all of the digit left out or all drawn from the others, the mean of the
negative ELBO, and its distance from the training mean (typicality).
per ink: our own score, the negative ELBO minus the entropy of the grey pixels, which no model can
avoid, over the square root of the ink.
AE: the pixel cost of an autoencoder. PCA: its squared error.
Peers (in another environment: pip install scikit-learn pyod torch tqdm): IForest and LOF of
scikit-learn, AutoEncoder and VAE of PyOD, all at their defaults. PyOD's VAE then has capacity=0,
which clamps its KL to 0, so no KL is trained. LOF and PyOD learn from at most 10,000 random rows,
the others from all.

Tables: each class of wine, digits and iris is left out in turn, for breast_cancer only the smaller
one. Half of the other rows are for training, half for testing; columns are standardised by the
training rows. Means over the classes, and the standard error over the seeds.
"""

import argparse

import numpy as np
from recipe_tools import print_result

from scratchvae import VAE, Autoencoder, InputError, load_data
from scratchvae.evaluate.metrics import roc_auc

PUBLISHED = (0.96, 0.73, 0.97, 0.94, 0.73, 0.92, 0.95, 0.77, 0.92, 0.66)
METHODS = ("vae", "ae", "pca", "peers")
SCORES = ("rec", "regret", "complex", "typical", "x10", "ink")
TABLES = ("breast_cancer", "wine", "iris", "digits")
SLOW_ROWS, GROUP = 10_000, 10
kept: list[VAE] = []  # the one model of --control


def some_names(*known):
    """The type of an option that takes some of these, separated by commas."""

    def names(text):
        wrong = [name for name in text.split(",") if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"no {wrong[0]}: choose some of {','.join(known)}")
        return text.split(",")

    return names


def widths(text):
    return tuple(int(n) for n in text.split(","))


parser = argparse.ArgumentParser(
    description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
)
parser.add_argument("data_dir", nargs="?", help="folder containing the MNIST files")
text = "use the tables of scikit-learn instead, or some of them"
parser.add_argument(
    "--tables", nargs="?", type=some_names(*TABLES), const=TABLES, metavar="NAME,...", help=text
)
parser.add_argument("--pair", nargs=2, metavar=("A", "B"), help="train on A, detect B")
parser.add_argument(
    "--digits", type=some_names(*"0123456789"), default="0,1,2,3,4,5,6,7,8,9",
    help="digits to leave out in turn",
)  # fmt: skip
parser.add_argument(
    "--methods", type=some_names(*METHODS), default="vae,ae,pca", help=f"of {','.join(METHODS)}"
)
parser.add_argument(
    "--scores", type=some_names(*SCORES), default=",".join(SCORES), help="of the VAE, besides ELBO"
)
parser.add_argument("--binary", action="store_true", help="round pixels to 0 or 1")
parser.add_argument("--control", action="store_true", help="train on all digits")
parser.add_argument("--peers", action="store_true", help="add peers to the methods")
parser.add_argument("--latent-dim", type=int, default=2)
parser.add_argument("--hidden", type=widths, default="400", help="widths, such as 400 or 400,200")
parser.add_argument("--likelihood", default="bernoulli", help="of the images")
parser.add_argument("--epochs", type=int, default=20, help="of the images")
parser.add_argument("--rows", type=int, help="train on this many random rows")
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()
methods = [*a.methods, *(["peers"] if a.peers else [])]
if not a.tables and a.data_dir is None:
    parser.error("without --tables, DIR (the folder containing the MNIST files) is required")
if a.control and (a.tables or a.pair):
    parser.error("--control is for digits, not for --tables or --pair")


def imported(name, package):
    try:
        return __import__(name, fromlist=["_"])
    except ImportError:
        parser.error(f"this needs {package}: pip install scikit-learn pyod torch tqdm")


def vae_scores(X, X_test, odd, seed, **settings):
    """The scores of a VAE, larger for anomalous rows; settings are its hyper-parameters."""
    vae = kept[0] if kept else VAE(seed=seed, **settings).fit(X)
    kept[:] = [vae] if a.control else []
    elbo, normal = vae.score_samples(X_test), float(vae.score_samples(X).mean())
    found = {"ELBO": -elbo}
    for name, kind in (("rec", "reconstruction"), ("regret", "regret"), ("complex", "complexity")):
        if name in a.scores:
            found[name] = -vae.score_samples(X_test, kind=kind)
    if "typical" in a.scores:
        found["typical"] = -vae.score_samples(X_test, kind="typicality", normal=normal)
    if "x10" in a.scores and len(X_test) >= 1000:  # groups of one kind
        rows = np.random.default_rng(seed).permutation(len(X_test))
        rows = np.concatenate([some[: len(some) // GROUP * GROUP] for some in
                               (rows[odd[rows]], rows[~odd[rows]])])  # fmt: skip
        groups = np.arange(len(rows)) // GROUP
        typical = vae.score_samples(X_test[rows], kind="typicality", normal=normal, groups=groups)
        means = elbo[rows].reshape(-1, GROUP).mean(axis=1)
        found |= {"ELBO x10": -means.repeat(GROUP), "typ x10": -typical}
        found = {name: (s, odd[rows] if "x10" in name else odd) for name, s in found.items()}
    if "ink" in a.scores and settings["likelihood"] == "bernoulli":
        pixels = X_test / 255
        grey = np.clip(pixels, 1e-9, 1 - 1e-9)
        entropy = -(pixels * np.log(grey) + (1 - pixels) * np.log(1 - grey)).sum(axis=1)
        found["per ink"] = (-elbo - entropy) / np.sqrt(np.maximum(pixels.sum(axis=1), 1))
    return found


def pca_error(X, X_test, units):
    mean = X.mean(axis=0, dtype=np.float64)
    centred, test = X - mean, X_test - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    W = vectors[:, -units:]
    return ((test - test @ W @ W.T) ** 2).sum(axis=1)


def peers(X, X_test, seed):
    """The scores of scikit-learn's and PyOD's detectors at their defaults, on float rows."""
    ensemble = imported("sklearn.ensemble", "scikit-learn")
    neighbors = imported("sklearn.neighbors", "scikit-learn")
    auto_encoder, vae = (imported(f"pyod.models.{n}", "PyOD") for n in ("auto_encoder", "vae"))
    few = X[np.random.default_rng(seed).permutation(len(X))[:SLOW_ROWS]]
    forest = ensemble.IsolationForest(random_state=seed).fit(X)
    lof = neighbors.LocalOutlierFactor(novelty=True).fit(few)
    found = {"IForest": -forest.score_samples(X_test), "LOF": -lof.score_samples(X_test)}
    for name, kind in (("PyOD AE", auto_encoder.AutoEncoder), ("PyOD VAE", vae.VAE)):
        detector = kind(random_state=seed, verbose=0)
        found[name] = detector.fit(few).decision_function(X_test)
    return found


def aurocs(X, X_test, odd, seed, scaled, **settings):
    """The AUROC of each column; scaled(X) scales rows for all but the VAE, which scales itself."""
    found = {}
    if "vae" in methods:
        found |= vae_scores(X, X_test, odd, seed, **settings)
    if "ae" in methods:
        found["AE"] = -Autoencoder(seed=seed, **settings).fit(X).score_samples(X_test)
    if "pca" in methods:
        found["PCA"] = pca_error(scaled(X), scaled(X_test), settings["latent_dim"])
    if "peers" in methods:
        found |= peers(scaled(X), scaled(X_test), seed)
    pairs = {name: s if isinstance(s, tuple) else (s, odd) for name, s in found.items()}
    return {name: roc_auc(s, among) for name, (s, among) in pairs.items()}


def hanley(name, auc, among):
    """The standard error of an AUROC over test rows (Hanley & McNeil, Radiology 143, 1982)."""
    size = GROUP if "x10" in name else 1
    odd, normal = among.sum() // size, (~among).sum() // size
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    rest = (odd - 1) * (q1 - auc**2) + (normal - 1) * (q2 - auc**2)
    return np.sqrt((auc * (1 - auc) + rest) / (odd * normal))


def show(first, values):
    texts = (v if isinstance(v, str) else f"{v:.3f}" for v in values)
    print(f"{first:>13}", *(f"{text:>9}" for text in texts), flush=True)


def of_images():
    """Settings of the image models, and the scaling of rows to [0, 1]."""
    return {
        "latent_dim": a.latent_dim, "hidden": a.hidden, "likelihood": a.likelihood,
        "epochs": a.epochs, "lr": lambda e: 1e-3 * 0.1 ** (e / a.epochs),
        "scaled": lambda X: X.astype("f4") / 255,
    }  # fmt: skip


def some_of(X):
    order = np.random.default_rng(a.seed).permutation(len(X))
    return X if a.rows is None else X[np.sort(order[: a.rows])]


def digits():
    X, y = load_data("mnist", "train", a.data_dir)
    X_test, y_test = load_data("mnist", "test", a.data_dir)
    if a.binary:
        X, X_test = ((pixels > 127) * np.uint8(255) for pixels in (X, X_test))
    rows, errors = [], []
    for digit in map(int, a.digits):
        odd = y_test == digit
        found = aurocs(some_of(X[(y != digit) | a.control]), X_test, odd, a.seed, **of_images())
        if not rows:
            show("left out", ["published", *found])
        rows.append([PUBLISHED[digit], *found.values()])
        errors.append([hanley(name, v, odd) for name, v in found.items()])
        show(digit, rows[-1])
    means = np.mean(rows, axis=0)
    test_errors = np.sqrt(np.square(errors).sum(axis=0)) / len(rows)
    show("mean", means)
    show("test error", ["", *test_errors])
    of_name = dict(zip(found, zip(means[1:], test_errors, strict=True), strict=True))
    print_some(of_name, elbo="ELBO", ten="typ x10")


def print_some(of_name, **wanted):
    """The line of results: these columns, where they were measured."""
    print_result(**{key: of_name[name] for key, name in wanted.items() if name in of_name})


def tables():
    datasets = imported("sklearn.datasets", "scikit-learn")
    for i, name in enumerate(a.tables):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        classes = [0] if name == "breast_cancer" else np.unique(y)  # 0: malignant, the minority
        means = []
        for seed in (a.seed, a.seed + 1, a.seed + 2):
            each = []
            for label in classes:
                rest = np.random.default_rng(seed).permutation(np.flatnonzero(y != label))
                train, test = rest[: len(rest) // 2], rest[len(rest) // 2 :]
                test = np.concatenate((test, np.flatnonzero(y == label)))
                mean, std = X[train].mean(axis=0), X[train].std(axis=0)
                epochs = -(-2000 // -(-len(train) // 32))  # so that there are 2,000 steps
                found = aurocs(
                    X[train], X[test], y[test] == label, seed,
                    scaled=lambda X, m=mean, s=std: (X - m) / np.where(s > 0, s, 1),
                    latent_dim=a.latent_dim, hidden=(64,), likelihood="gaussian", scale="standard",
                    batch_size=32, epochs=epochs,
                )  # fmt: skip
                each.append([*found.values()])
            means.append(np.mean(each, axis=0))
        if i == 0:
            show("table", found)
        show(name, np.mean(means, axis=0))
        show("seed error", np.std(means, axis=0, ddof=1) / 3**0.5)


def pair():
    A, B = a.pair
    X, known, other = (
        load_data(name, part, a.data_dir)[0]
        for name, part in ((A, "train"), (A, "test"), (B, "test"))
    )
    if np.array_equal(known, other):
        parser.error(f"{A} and {B} are the same images: each needs a folder {a.data_dir}/NAME")
    X_test, odd = np.concatenate((known, other)), np.arange(len(known) + len(other)) >= len(known)
    found = aurocs(some_of(X), X_test, odd, a.seed, **of_images())
    errors = [hanley(name, v, odd) for name, v in found.items()]
    show("odd", found)
    show(B, found.values())
    show("test error", errors)
    of_name = dict(zip(found, zip(found.values(), errors, strict=True), strict=True))
    print_some(of_name, elbo="ELBO", regret="regret", complexity="complex")


try:
    tables() if a.tables else pair() if a.pair else digits()
except InputError as error:  # a folder without the files, an unknown likelihood
    parser.error(str(error))
if not a.tables:
    print(f"{a.epochs} epochs, {a.latent_dim} units, {a.likelihood}, seed {a.seed}")
