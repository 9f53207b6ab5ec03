"""The command `anomaly`: score examples by how unlikely they are, and evaluate the ranking.

The score is the negative of `score_samples`, in nats, so larger is more anomalous. By default that
is the negative lower bound on log p(x).
"""

import argparse
import os
import warnings
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from ..data import NAMED, known_name
from ..data.labels import by_text, known_labels, labels_named, missing, rejoined
from ..data.sources import DataSet
from ..errors import DataWarning, InputError
from ..evaluate.metrics import average_precision, roc_auc
from ..evaluate.outliers import meaning, threshold
from ..evaluate.units import Data, need_labels, pixels
from ..files.atomic import write_csv
from ..models import Model
from ..models.scores import check as check_score
from ..pictures import gallery
from ..train.snapshot import data_hash
from .shared import (
    as_trained,
    complete_rows,
    data_of,
    data_splits,
    naming_rows,
    open_run,
    output,
    save_picture,
)

OWN_COLUMNS = ("row", "score", "anomaly", "file")  # names that labels cannot have


def anomaly(a: argparse.Namespace) -> None:
    model, settings = open_run(a)
    if a.output:
        _check_output(a.output, model)
    every = data_of(a, model, settings)
    path = output(a, None if a.data is None else f"anomaly-{Path(every.name).stem}.csv")
    picture = path.with_suffix(".png")
    needs = "--score typicality" if a.score == "typicality" else ""
    if a.contamination is not None:
        needs = "--contamination"
    if a.training_data and not needs:
        raise InputError("--training-data has no effect without --contamination: leave it out")
    if a.threshold_from and a.contamination is None:
        raise InputError("--threshold-from has no effect without --contamination: leave it out")
    if a.group > 1 and a.score != "typicality":
        raise InputError("--group has no effect without --score typicality: leave it out")
    check_score(model, a.score, a.samples)
    complete = complete_rows(every.X)
    data = every if complete.all() else _without_gaps(a, every, complete)
    X, y = data.X, data.y
    if a.group > len(X):
        raise InputError(f"--group {a.group} exceeds the {len(X):,} rows of {data.name}: lower it")
    named = _anomalous(a, settings, data)
    splits = _splits(a, model, settings, needs) if needs else None
    normal = None
    if a.score == "typicality" and splits is not None:
        normal = -_scores(model, splits[0], settings, a, "elbo").mean(dtype=float)

    def scored(data: Data) -> np.ndarray:
        return _scores(model, data, settings, a, a.score, normal)

    with naming_rows(data):
        scores = scored(data)

    def column(values: list[Any]) -> list[Any]:
        after = iter(values)
        return [next(after) if has else "" for has in complete.tolist()]

    columns: dict[str, Any] = {
        "row": every.row_numbers,
        "score": column([f"{score:.6f}" for score in scores.tolist()]),
    }
    limit, marks = a.threshold, ""
    if a.contamination is not None:
        limit, marks = _threshold(a, settings, splits, scored)
    if limit is not None:
        above = scores > limit
        columns["anomaly"] = column(above.astype(int).tolist())
        # as many digits as the scores have, so that --threshold gives the same verdicts
        digits = 9 if scores.dtype == np.float32 else 17
        marks = f"anomaly: a score above {limit:.{digits}g}{marks}: {above.sum():,} of {len(X):,}"
    if every.y is not None:
        own = every.label not in (None, *OWN_COLUMNS)
        columns[str(every.label) if own else "label"] = every.y.tolist()
    if every.files is not None:
        columns["file"] = every.files
    write_csv(path, columns, zip(*columns.values(), strict=True))
    print(path)
    if model.rows_.image_shape:
        _draw(model, data, scores, inf if limit is None else limit, a.n, named, picture)
    what = f"{meaning(model, a.score, a.samples, normal)}; larger is more anomalous"
    if a.group > 1:
        what += f"; each row has the score of its group of {a.group} consecutive rows"
    if settings.get("binarize", "none") != "none":
        what += "; pixels binarised once, at random"
    print(_summary(f"{what}; seed {model.seed}", data, scores, a.score))
    if n := int((~complete).sum()):
        of = f"{n:,} of {len(complete):,} rows"
        first = every.called(complete.argmin())
        print(f"not scored: {of} (missing or infinite), first {first}")
    if marks:
        print(marks)
    if named and y is not None:
        print(_ranking_quality(scores, y, named))


def _check_output(path: Path, model: Model) -> None:
    """Raises InputError unless the scores and their picture can be written there."""
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path} must end in .csv: it is a table of row, score and label")
    picture = path.with_suffix(".png")
    if model.rows_.image_shape and picture.exists() and not path.exists():
        raise InputError(
            f"{picture} exists, and the picture beside {path} would overwrite it: choose another -o"
        )


def _scores(
    model: Model,
    data: Data,
    settings: dict[str, Any],
    a: argparse.Namespace,
    kind: str,
    normal: float | None = None,
) -> np.ndarray:
    more: dict[str, Any] = {"y": data.y} if model.needs_labels else {}
    if more:
        need_labels(type(model), data.y, data.name)
    X = pixels(model, data.X, more, settings)
    if normal is not None:
        more["normal"] = normal
        more["groups"] = np.arange(len(X)) // a.group
    return -model.score_samples(X, a.samples, kind=kind, **more)


def _without_gaps(a: argparse.Namespace, data: Data, complete: np.ndarray) -> Data:
    """The complete rows. Raises InputError without --missing skip."""
    if getattr(a, "missing", None) != "skip":
        n, first = (~complete).sum(), data.called(complete.argmin())
        raise InputError(
            f"{data.name} has missing or infinite values in {n:,} of {len(complete):,} rows, first "
            f"in {first}: score the others with --missing skip"
        )
    if not complete.any():
        raise InputError(
            f"{data.name} has missing or infinite values in every row, so there is nothing to score"
        )
    kept = np.flatnonzero(complete)
    return data._replace(
        X=data.X[kept],
        y=None if data.y is None else data.y[kept],
        files=data.files and tuple(data.files[i] for i in kept),
        numbers=data.row_numbers[kept],
        lines=None if data.lines is None else data.lines[kept],
    )


def _splits(
    a: argparse.Namespace, model: Model, settings: dict[str, Any], flag: str
) -> tuple[Data, Data]:
    """The rows of the run's training, and its test split without the labels left out."""
    if "data" not in settings:
        raise InputError(
            f"{flag} needs the training data, which {a.run_folder} does not record: name the "
            f"folder of the run{', or give --threshold' if a.contamination is not None else ''}"
        )
    if given := a.training_data:
        if not known_name(given) and not os.path.exists(given):
            raise InputError(f"--training-data: there is no file or folder {given}: check the path")
        settings = settings | {"data": known_name(given) or given}
    if settings["data"] not in NAMED and not os.path.exists(settings["data"]):
        raise InputError(
            f"{a.run_folder} was trained on {settings['data']}, which is gone, but {flag} scores "
            "the training rows: name its new path with --training-data"
        )
    moved = {} if a.data_dir is None else {"data_dir": a.data_dir}
    rows, test = data_splits(settings | moved)
    _check_that_they_are_the_training_data(a, model, settings, rows, test, flag)
    return Data(rows.X, rows.y, test.name, "training split"), _normal(test, settings)


def _threshold(
    a: argparse.Namespace, settings: dict[str, Any], splits: Any, scored: Callable[..., np.ndarray]
) -> tuple[float, str]:
    """The 1 - contamination quantile of the scores of a split of the run, and its description."""
    rows, test = splits
    quantile = f", the {1 - a.contamination:g} quantile of the"
    of_group = f" in groups of {a.group}" if a.group > 1 else ""
    of_test = scored(test) if len(test.X) else np.empty(0)
    if a.threshold_from == "test":
        if not len(of_test):
            raise InputError(
                f"the test split of {test.name} holds only labels left out of training, so "
                "--threshold-from test has no scores: leave it out"
            )
        limit = -threshold(-of_test, a.contamination)
        return limit, f"{quantile} {len(of_test):,} test examples{of_group}"
    scores = scored(rows)
    limit = -threshold(-scores, a.contamination)
    text = f"{quantile} {len(scores):,} training examples{of_group}"
    if len(of_test):
        share = 100 * (of_test > limit).mean()
        text += f" ({share:.3g} % of the {len(of_test):,} test examples lie above it)"
    return limit, text


def _normal(test: Data, settings: dict[str, Any]) -> Data:
    """The test split without the labels left out of training."""
    if not settings.get("leave_out") or test.y is None:
        return test
    there = by_text(known_labels(test.y).tolist())
    out = [there[text] for text in settings["leave_out"] if text in there]
    keep = ~np.isin(test.y, out)
    return test._replace(X=test.X[keep], y=test.y[keep])


def _check_that_they_are_the_training_data(
    a: argparse.Namespace,
    model: Model,
    settings: dict[str, Any],
    rows: DataSet,
    test: Data,
    flag: str,
) -> None:
    """Raises InputError unless these splits have the hash in the checkpoint."""
    X = as_trained(model, settings, rows, test=False)
    X_test = as_trained(model, settings, test, test=True)
    if a.hashes["data"] not in (None, data_hash(X, X_test)):
        raise InputError(
            f"{settings['data']} is not what {a.run_folder} was trained on, and {flag} scores the "
            "training rows: restore the data, name them with --training-data, or train on the new "
            "ones (--init-from)"
        )


def _anomalous(a: argparse.Namespace, settings: dict[str, Any], data: Data) -> list[Any]:
    """The labels that count as anomalous: --anomalous, else those left out of training."""
    y, name = data.y, data.name
    known = [] if y is None else known_labels(y).tolist()
    if a.anomalous is None:
        there = by_text(known)
        named = [there[text] for text in settings.get("leave_out") or () if text in there]
        return named if len(set(named)) < len(known) else []
    if y is None:
        raise InputError(f"{name} has no labels, so --anomalous has no effect: leave it out")
    named = labels_named(rejoined(a.anomalous, by_text(known)), known)
    if len(set(named)) == len(known):
        raise InputError(
            f"--anomalous {','.join(a.anomalous)} names every label of the {data.split} of {name}: "
            "leave out the normal ones"
        )
    return named


def _draw(
    model: Model, data: Data, scores: np.ndarray, limit: float, n: int, named: list[Any], path: Path
) -> None:
    """Draw the least and the most likely images; * marks a score above the limit, or a label."""
    from ..pictures import plots  # lazily: matplotlib is slow to import

    rows = np.argsort(scores, kind="stable")
    best, worst = rows[: min(n, len(rows) // 2)], rows[::-1][: min(n, -(-len(rows) // 2))]
    numbers = data.row_numbers
    captions = {i: [f"#{numbers[i]}{'*' if scores[i] > limit else ''}"] for i in (*best, *worst)}
    if data.y is not None:
        for i, words in captions.items():
            words.append(f"{data.y[i]}*" if data.y[i] in named else str(data.y[i]))
    longest = max(len(", ".join(words)) for words in captions.values())
    between = ", " if longest < 10 else "\n"

    def shown(rows: np.ndarray) -> tuple[Any, ...]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of values that the scores warned of
            images = gallery.drawn(model, gallery.as_floats(model, data.X[rows]))
        texts = [f"{score:.5g}" for score in scores[rows]]
        return images, texts, [between.join(captions[i]) for i in rows]

    below = "score in nats, #row" + (", label" if data.y is not None else "")
    if limit < inf:
        below += f"; #row*: score above {limit:.5g}"
    if named:
        below += "; label*: counts as anomalous"
    figure = plots.anomalies(shown(worst), shown(best) if len(best) else None, below)
    save_picture(figure, path)


def _summary(what: str, data: Data, scores: np.ndarray, kind: str) -> str:
    if data.place.startswith("line"):
        data = data._replace(place="line {}")  # of the file that the sentence names

    def row(i: Any, explained: bool = data.lines is None) -> str:
        label = "" if data.y is None else f"label {data.y[i]}"
        file = "" if data.files is None else data.files[i]
        return f"{data.called(i, label, file, explained=explained)}, {scores[i]:.2f}"

    least, most = "least likely", "most likely"
    if kind != "elbo":
        least, most = "most anomalous", "least anomalous"
    if len(scores) == 1:
        found = f"1 row of {data.name} scored: {row(0)}"
    else:
        split = "" if data.split == "rows" else f"the {data.split} of "
        found = (
            f"{len(scores):,} rows of {split}{data.name} scored; {least}: {row(scores.argmax())}; "
            f"{most}: {row(scores.argmin(), False)}; median {np.median(scores):.2f}"
        )
    return f"{found}\nscore: {what}"


def _ranking_quality(scores: np.ndarray, y: np.ndarray, named: list[Any]) -> str:
    """AUROC and average precision, over the labelled rows."""
    has = ~missing(y)
    positive = np.isin(y[has], named)
    auc = roc_auc(scores[has], positive)
    precision = average_precision(scores[has], positive)
    names = ", ".join(map(str, named))
    return (
        f"AUROC {auc:.4f}, average precision {precision:.4f} (chance: 0.5, {positive.mean():.4f}), "
        f"label {names} counting as anomalous: {positive.sum():,} of {len(positive):,} examples\n"
        f"an anomalous example scores higher than a normal one in {100 * auc:.1f} % of all pairs"
    )
