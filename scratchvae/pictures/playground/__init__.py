"""An HTML page in which a small VAE learns, in the browser, without a network or a server.

`page` fills in `page.html`: the style, the scripts and some digits. `model.js` is `models/vae.py`
with the ops that it needs, `checks.js` has the finite differences and the tests of meaning, and
`worker.js` trains in a thread; `playground.js` draws.
"""

import base64
import json
from importlib.resources import files
from string import Template

import numpy as np

from ...data import strokes
from .. import class_colours

TRAIN, TEST, LOOK_FROM = 1000, 60, 400  # digits; the test digits are as many of each class
SIDE = 14
PARTS = ("style.css", "model.js", "checks.js", "worker.js", "playground.js")
TITLE = "scratchvae playground"


def digits() -> dict[str, np.ndarray]:
    """train (N,196) and test (T,196) uint8, 14 x 14 pixels; y (T,): 0, 1, ... 9, 0, 1, ..."""
    train, *_ = strokes.generate("train", TRAIN)
    test, y, _ = strokes.generate("test", LOOK_FROM)
    of_class = [np.flatnonzero(y == c)[: TEST // 10] for c in range(10)]
    rows = np.stack(of_class, axis=1).ravel()
    return {"train": _halved(train), "test": _halved(test[rows]), "y": y[rows]}


def _halved(X: np.ndarray) -> np.ndarray:
    """Images (n,784) at half their size (n,196): the mean of each square of four pixels."""
    means = X.reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    return np.rint(means).astype(np.uint8).reshape(-1, SIDE * SIDE)


def page() -> str:
    """The page as text."""
    held = digits()
    content = {"side": SIDE, "y": held["y"].tolist(), "colours": class_colours(10)}
    for name in ("train", "test"):
        content[name] = base64.b64encode(held[name].tobytes()).decode("ascii")
    here, beside = files(__name__), files(__name__.rpartition(".")[0]).joinpath("explorer")
    parts = {name.replace(".", "_"): here.joinpath(name).read_text("utf-8") for name in PARTS}
    return Template(here.joinpath("page.html").read_text("utf-8")).substitute(
        parts,
        palette_css=beside.joinpath("palette.css").read_text("utf-8"),
        title=TITLE,
        data=json.dumps(content, separators=(",", ":")),
    )
