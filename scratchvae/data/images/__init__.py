"""Read a folder of pictures into one array, resized if asked, with sub-folders as classes.

`listing` finds the files, their classes and splits, `picture` opens and decodes one by Pillow,
`read` makes the array.
"""

from .listing import SUFFIXES, has_splits, holds_images
from .read import Images, parse_size, read_images

__all__ = ["SUFFIXES", "Images", "has_splits", "holds_images", "parse_size", "read_images"]
