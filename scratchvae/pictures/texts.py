"""User text in pictures: labels and titles, which may be long or look like a formula."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.textpath import TextPath

FEW = 20  # most distinct numbers that are drawn as classes


def plain(text: Any, letters: int = 1000) -> str:
    """User text, cut to so many letters and escaped: matplotlib must not read it as a formula."""
    text = str(text)
    text = text if len(text) <= letters else f"{text[: letters - 1]}…"
    return text.replace("$", r"\$")


def measured(labels: Any) -> Any:
    """Labels that are many real numbers, or their texts, as floats with NaN for ""; else None."""
    labels = np.asarray(labels)
    try:
        numbers = np.where(labels == "", "nan", labels).astype(float)
    except (TypeError, ValueError):
        return None
    known = np.unique(numbers[np.isfinite(numbers)])
    return None if len(known) <= FEW or (known % 1 == 0).all() else numbers


def captions(
    scores: Sequence[str], labels: Sequence[Any] | None, sep: str, letters: int
) -> list[str]:
    """Each score and its label, wrapped to lines of at most so many letters."""
    found = []
    for i, score in enumerate(scores):
        parts = str(labels[i]).split("\n") if labels else []
        found.append(plain(sep.join([score, *(line for p in parts for line in wrap(p, letters))])))
    return found


def font_size(texts: Iterable[str], width: float, most: float) -> float:
    """The size in points, at most `most`, at which no line of the texts is wider than `width`."""
    lines = {line for text in texts for line in text.split("\n")}
    widest = max(TextPath((0, 0), line, most).get_extents().width for line in lines)
    return most * min(1, width / widest)
