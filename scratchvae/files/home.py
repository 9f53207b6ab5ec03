"""Paths as users write them: expand `~`, as a shell does, and find misspelt names."""

import os
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from ..errors import InputError

MAX_LISTED = 10_000  # names in a folder that `nearest` compares


def expanded(path: str | Path) -> str:
    """The path with a leading `~` or `~user` replaced by that home folder.

    An unknown user is left as it is. Raises InputError for `~` if the home folder is unknown.
    """
    text = os.path.expanduser(path)
    if text == "~" or text.startswith("~" + os.sep):
        raise InputError(f"{text} starts in the home folder, which is unknown: write the full path")
    return text


def nearest(path: Path) -> Path | None:
    """The entry of the folder whose name is closest to that of this missing path, or None."""
    names: dict[str, str] = {}
    with suppress(OSError, ValueError), os.scandir(path.parent) as found:
        for entry in islice(found, MAX_LISTED):
            if entry.name.isprintable() and not entry.name.startswith("."):
                names[entry.name.lower()] = entry.name
    near = get_close_matches(path.name.lower(), sorted(names), 1, 0.82)
    near += sorted(name for name in names if Path(name).stem == path.stem.lower())
    return path.with_name(names[near[0]]) if near else None
