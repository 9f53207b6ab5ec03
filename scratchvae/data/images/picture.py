"""Open one picture with Pillow, and decode it: upright, grey or RGB, 8 bits a channel."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError
from ...files.reading import (
    DAMAGE,
    UnreadableFile,
    open_at_once,
    refusing,
    regular,
    without_warnings,
)

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
# Pillow's modes; 16-bit grey is "I" in some versions, where other formats hold 32 bits
GREY_16 = {"I;16", "I;16B", "I"}
GREY = {"1", "L", "LA", *GREY_16}
COLOUR = {"P", "PA", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr"}  # RGBX: older versions
IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION = 256, 257, 274  # tags of TIFF and EXIF
ROTATED = (5, 6, 7, 8)  # orientations that exchange height and width


@contextmanager
def opened(path: str) -> "Iterator[ImageFile]":
    """The picture in a file, not decoded yet; whatever Pillow raises becomes a DataError."""
    from PIL import Image  # lazily: importing scratchvae stays cheap

    file = Path(path)
    # Pillow asserts that a picture of mode P has a palette
    refused = refusing(file, DataError, MemoryError, AssertionError)
    # warnings are about size, and metadata: only EXIF's orientation is used
    with refused, without_warnings(), open_at_once(file) as f:
        regular(f)
        try:
            with Image.open(f, formats=FORMATS) as image:
                if image.width * image.height > (Image.MAX_IMAGE_PIXELS or inf):
                    raise Image.DecompressionBombError  # Pillow's own only from twice as many on
                deep = image.mode == "I" and image.format not in ("PNG", "PPM")
                if deep or image.mode not in GREY | COLOUR:
                    raise UnreadableFile(
                        f"has pixels of Pillow's mode {image.mode}, which are not read: save it "
                        "as 8-bit or 16-bit grey, or as RGB"
                    )
                yield image
        except Image.DecompressionBombError:
            raise UnreadableFile(
                f"exceeds the limit of {Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller"
            ) from None


def upright_size(image: "ImageFile") -> tuple[int, int]:
    """Height and width of an undecoded picture, once turned upright."""
    from PIL import Image

    width, height = image.size
    if tags := getattr(image, "tag_v2", None):  # TIFF: some versions of Pillow swap them at once
        width, height = tags[IMAGE_WIDTH], tags[IMAGE_LENGTH]
    with suppress(*DAMAGE):  # as in `decoded`; image.getexif() would decode a PNG
        if Image.Image.getexif(image).get(ORIENTATION) in ROTATED:
            return width, height
    return height, width


def decoded(path: str, size: tuple[int, int] | None, *, grey: bool) -> np.ndarray:
    """The decoded picture, upright: (H,W) or (H,W,3) uint8."""
    from PIL import Image, ImageOps

    with opened(path) as image:
        if size:  # decode a JPEG at 1/2, 1/4 or 1/8 of its size, if that is 3 times `size`
            image.draft(None, (3 * max(size), 3 * max(size)))
        image.load()
        with suppress(*DAMAGE):  # damaged EXIF data: the picture stays as it is stored
            ImageOps.exif_transpose(image, in_place=True)
        flat: Image.Image = image
        if image.mode in GREY_16:
            values = np.asarray(image).astype(np.uint32)
            flat = Image.fromarray(((values + 128) // 257).astype(np.uint8))  # rounded
        elif image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            flat = Image.alpha_composite(white, image.convert("RGBA"))
        flat = flat.convert("L" if grey else "RGB")
        if size:
            flat = flat.resize(size[::-1], Image.Resampling.LANCZOS)
        return np.asarray(flat)
