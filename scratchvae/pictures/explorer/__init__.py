"""An HTML page to explore a model in: it decodes in the browser, without a network or a server.

`page` fills in `page.html`: the style, the scripts, and the decoder and the codes of test examples
as JSON. `decode.js` is `decode` of `models/vae.py` in JavaScript; `plane.js` maps the latent plane
to the screen and draws it, `explorer.js` is the first tab, and `gradient.js` the second, a model of
two pixels with all its gradients.
"""

import base64
import io
import json
import math
from copy import deepcopy
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from ...backend import noise, to_numpy
from ...data.labels import known_labels
from ...errors import InputError
from ...evaluate.units import Data, Units
from ...files.run_folder import INDEX
from ...models import Labelled, Model
from .. import class_colours
from ..gallery import as_floats, spread

MOST_POINTS, MOST_NUMBERS = 2000, 200_000  # test examples in a page, and numbers of their codes
MOST_PIXELS = 2_000_000  # of the originals in a page, which are reduced if they have more
TOLERANCE = 7e-4  # largest error of a pixel in [0, 1] by rounding: a sixth of a grey level
PARTS = ("palette.css", "style.css", "decode.js", "plane.js", "explorer.js", "gradient.js")


def check(model: Model) -> tuple[int, ...]:
    """The shape of the images (H,W) or (H,W,3); InputError without images, or for one unit."""
    shape = model.rows_.image_shape
    if shape is None:
        raise InputError(
            f"the explorer shows images, but rows of {model.n_features_} features are not images: "
            "use `reconstruct` and `sample`, which draw tables"
        )
    if model.latent_dim < 2:
        raise InputError("the explorer needs two latent units or more, but this model has one")
    return shape


def shown(n: int, latent_dim: int) -> np.ndarray:
    """Which of n test examples a page shows: evenly spaced, so that sorted data keep all labels."""
    most = min(n, MOST_POINTS, max(1, MOST_NUMBERS // latent_dim))
    return np.arange(most) * n // most


def page(model: Model, found: Units, data: Data, in_run: bool = False) -> str:
    """The page as text, with some examples of the data on which units were found.

    in_run: link the page of the run, in whose folder this one will lie. Raises InputError for a
    model that cannot be shown.
    """
    height, width, *colours = check(model)
    rows = shown(len(found.mu), model.latent_dim)
    mu, order = found.mu[rows], found.order
    centre, scale = spread(model, mu)
    scale = np.maximum(scale, 1e-6)
    sigma = float(np.mean((0.1 * scale if found.std is None else found.std)[order[:2]]))
    labels, index = _labels(data.y, rows)
    content = {
        "height": height,
        "width": width,
        "channels": 3 if colours else 1,
        "ink": model.rows_.ink,
        "likelihood": model.likelihood,
        "activation": model.activation,
        "says": "KL" if model.noisy else "variance",
        "classes": [str(c) for c in model.classes_] if isinstance(model, Labelled) else None,
        "labels": labels,
        "colours": class_colours(len(labels)),
        "y": index,
        "units": [
            {"unit": int(j), "said": float(found.information[j]), "active": bool(found.active[j])}
            for j in order
        ],
        "centre": centre.tolist(),
        "scale": scale.tolist(),
        "sigma": sigma,
        "mu": _text(mu, 32),
        "planes": _planes(mu, index, labels) if model.latent_dim > 2 else [],
        "originals": _originals(model, data.X[rows]),
        **_decoder(model, mu),
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    here = files(__name__)
    parts = {name.replace(".", "_"): here.joinpath(name).read_text("utf-8") for name in PARTS}
    return Template(here.joinpath("page.html").read_text("utf-8")).substitute(
        parts,
        back=f'<a href="{INDEX}">The page of this run</a>' if in_run else "",
        kind="ink" if model.rows_.ink and not colours else "colour",
        ratio=f"{width / height:.4g}",
        across=8 if width < 1.5 * height else 4,  # of the eight samples
        sigma_max=f"{2 * scale[order[0]]:.3g}",
        sigma_help="this model has no sigma of its own"
        if found.std is None
        else f"sigma of the encoder: {sigma:.2f} on average",
        # a label may hold </script>
        data=text.replace("<", "\\u003c"),
        what=escape(
            f"{type(model).__name__} {model.widths}, {model.likelihood} pixels, "
            f"{len(model.history_)} epochs; {len(mu):,} test examples of {data.name}"
        ),
    )


def _planes(mu: np.ndarray, index: list[int], labels: list[str]) -> list[dict[str, Any]]:
    """Planes through the latent space as two orthonormal directions: of the codes and of labels.

    The first has the largest variance of all codes (N,Z), the second that of their means for each
    label, where there are at least three labels.
    """
    centred = mu - mu.mean(axis=0)
    sets = {"principal plane of the codes": centred}
    if len(labels) > 2:
        y = np.array(index)
        means = np.array([mu[y == c].mean(axis=0) for c in range(len(labels))])
        sets["principal plane of the label means"] = means - means.mean(axis=0)
    planes = []
    for name, points in sets.items():
        axes = np.linalg.svd(points.astype(np.float64), full_matrices=True)[2][:2]
        axes *= np.where(axes.sum(axis=1) < 0, -1, 1)[:, None]  # the sign is arbitrary
        part = (centred @ axes.T).var(axis=0).sum() / max(centred.var(axis=0).sum(), 1e-12)
        planes.append({"name": f"{name} ({part:.0%} of their variance)", "axes": axes.tolist()})
    return planes


def _originals(model: Model, X: np.ndarray) -> dict[str, Any]:
    """The rows as one PNG, `columns` images in a row, each of the size that is given with it.

    Ink is black of varying opacity, as the page paints what it decodes. Large images are reduced.
    """
    from PIL import Image  # lazily: slow to import

    height, width, *_ = model.rows_.image_shape or ()
    factor = min(1, (MOST_PIXELS / (len(X) * model.n_features_)) ** 0.5)
    size = max(1, round(factor * width)), max(1, round(factor * height))
    columns = math.isqrt(len(X) - 1) + 1
    shape = columns * size[0], -(-len(X) // columns) * size[1]
    sheet = Image.new("RGB" if len(model.rows_.image_shape or ()) == 3 else "L", shape)
    for n, row in enumerate(X):
        pixels = model.rows_.images(as_floats(model, row[None]))[0]
        image = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
        place = n % columns * size[0], n // columns * size[1]
        sheet.paste(image.resize(size, Image.Resampling.BOX), place)
    if model.rows_.ink and sheet.mode == "L":
        sheet = Image.merge("LA", (Image.new("L", shape), sheet))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return {"width": size[0], "height": size[1], "columns": columns, "png": text}


def _labels(y: np.ndarray | None, rows: np.ndarray) -> tuple[list[str], list[int]]:
    """The distinct labels of the rows as text, sorted, and the index of each row's; -1 for none."""
    if y is None:
        return [], [-1] * len(rows)
    place = {label: i for i, label in enumerate(known_labels(y[rows]).tolist())}
    return [str(label) for label in place], [place.get(label, -1) for label in y[rows].tolist()]


def _decoder(model: Model, mu: np.ndarray) -> dict[str, Any]:
    """The decoder's weights as text, and how what it decodes becomes pixels, `gain` and `shift`.

    The weights are float16 if no pixel changes visibly, else float32. The outputs stand in the
    order of an image, and for each, pixel = gain * decoded + shift lies in [0, 1] if it is drawn
    as it is: the scale of the data is undone, and their range mapped to [0, 1].
    """
    own = {
        name: to_numpy(a) for name, a in model.params_.items() if name.startswith(("dec", "out"))
    }
    bits = 16 if _float16_suffices(model, own, mu) else 32
    form, D = model.rows_, model.n_features_
    place = form.arranged(np.arange(D)).ravel()
    for name in ("out_W", "out_b"):
        own[name] = own[name][..., place]
    zero, one = (form.unscaled(np.full(D, value)) for value in (0.0, 1.0))
    span = form.high - form.low
    return {
        "bits": bits,
        "params": {name: _text(a, bits) for name, a in own.items()},
        "gain": _text(((one - zero) / span)[place], 32),
        "shift": _text(((zero - form.low) / span)[place], 32),
    }


def _float16_suffices(model: Model, own: dict[str, np.ndarray], mu: np.ndarray) -> bool:
    """Whether rounded weights decode to the same pixels, at codes and at points around them."""
    far = noise.normal(200, model.latent_dim, seed=0, stream=noise.SAMPLE) * 2
    z = np.concatenate((mu[:200], mu.mean(axis=0) + np.maximum(mu.std(axis=0), 1) * far))
    rounded = deepcopy(model)
    for name, a in own.items():
        with np.errstate(over="ignore"):
            half = a.astype(np.float16)
        if not np.isfinite(half).all():
            return False
        rounded.params_[name][...] = rounded.xp.asarray(half)
    of: dict[str, Any] = {}
    if isinstance(model, Labelled):
        of["y"] = model.classes_[np.arange(len(z)) % len(model.classes_)]
    error = np.abs(model.decode(z, **of) - rounded.decode(z, **of))
    return bool(error.max() < TOLERANCE * (model.rows_.high - model.rows_.low))


def _text(a: np.ndarray, bits: int) -> str:
    """Numbers as base64 of little-endian floats, row after row."""
    return base64.b64encode(a.astype(f"<f{bits // 8}").tobytes()).decode("ascii")
