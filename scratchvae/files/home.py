"""Paths as users write them: `~` is the home folder, as in a shell, and a name may be misspelt."""

import os
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from ..errors import InputError

MAX_LISTED = 10_000  # names of a folder that `nearest` looks at


def expanded(path: str | Path) -> str:
    """The path with `~` or `~user` at its beginning replaced by that home folder.

    An unknown user is left as it is. Raises InputError for `~` if the home folder is unknown.
    """
    text = os.path.expanduser(path)
    if text == "~" or text.startswith("~" + os.sep):
        raise InputError(
            f"{text} begins in the home folder, which is unknown: write the whole path"
        )
    return text


def nearest(path: Path) -> Path | None:
    """What lies in the folder of a path that is not there, under a name close to its own."""
    names: dict[str, str] = {}
    with suppress(OSError, ValueError), os.scandir(path.parent) as found:
        for entry in islice(found, MAX_LISTED):
            if entry.name.isprintable() and not entry.name.startswith("."):
                names[entry.name.lower()] = entry.name
    near = get_close_matches(path.name.lower(), sorted(names), 1, 0.82)
    near += sorted(name for name in names if Path(name).stem == path.stem.lower())
    return path.with_name(names[near[0]]) if near else None
