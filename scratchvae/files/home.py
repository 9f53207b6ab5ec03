"""Paths as users write them: `~` is the home folder, as in a shell."""

import os
from pathlib import Path

from ..errors import InputError


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
