"""Arrays of numbers and of text in files of MATLAB 5 to 7.2, the usual .mat files.

SciPy's reader is not used for them: a wrong byte can end the process, and it reads cells within
cells by recursion, as deep as a file says. Only what data and labels need is read here.
"""

import zlib
from collections.abc import Sequence
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np

from ...files.reading import UnreadableFile, check_expansion, check_memory, regular
from ..arrays import shown
from ..labels import MAX_LABEL

CELL, CHAR = "cell", "char"
KINDS = {  # of arrays, by the number of their class
    1: CELL, 4: CHAR, 6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16",
    12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
MATRIX, COMPRESSED = 14, 15  # types of elements; the others by their content:
DTYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
CODECS = {
    1: "latin-1", 2: "latin-1", 4: "utf-16-{}", 16: "utf-8", 17: "utf-16-{}", 18: "utf-32-{}",
}  # fmt: skip
LOGICAL, COMPLEX = 0x200, 0x800  # flags
HEAD = 1024  # bytes of an array that hold its class, sizes and name
MAX_ARRAYS = 10_000


class Header(NamedTuple):
    """An array's kind ("" if it is of no use here), flags, sizes and name."""

    kind: str
    flags: int = 0
    shape: tuple[int, ...] = ()
    name: str = ""


def _words(content: bytes | memoryview, order: str) -> list[int]:
    found: list[int] = np.frombuffer(content, f"{order}u4").tolist()
    return found


class Elements:
    """The elements in some bytes, one after another: type and length (4 bytes each), content.

    An array is an element of elements: flags, sizes, name, content.
    """

    def __init__(self, content: bytes | memoryview, order: str) -> None:
        self.rest, self.order = memoryview(content), order

    def next(self) -> tuple[int, memoryview]:
        """Type and content of the next element. Raises ValueError if it is cut off."""
        of_type, length = _words(self.rest[:8], self.order)
        begin, step = 8, 8 + -(-length // 8) * 8
        if of_type >> 16:  # a short one: its length, its type, and at most four bytes
            of_type, length, begin, step = of_type & 0xFFFF, of_type >> 16, 4, 8
        if length > len(self.rest) - begin or (begin == 4 and length > 4):
            raise ValueError("cut off")
        content, self.rest = self.rest[begin : begin + length], self.rest[step:]
        return of_type, content

    def header(self) -> Header:
        (flags,) = _words(self.next()[1][:4], self.order)
        if flags & 0xFF not in KINDS:  # the elements of an object are others
            return Header("")
        shape = np.frombuffer(self.next()[1], f"{self.order}i4").tolist()
        name = bytes(self.next()[1]).decode("latin-1")
        if not shape:
            raise ValueError("an array without sizes")
        return Header(KINDS[flags & 0xFF], flags, tuple(shape), name)


class Array(NamedTuple):
    """An array of a file, and its position."""

    header: Header
    start: int
    length: int
    packed: bool
    order: str

    def read(self, f: IO[bytes]) -> np.ndarray:
        f.seek(self.start)
        content = f.read(self.length)
        if self.packed:
            stream = zlib.decompressobj()
            _, size = _words(stream.decompress(content, 8), self.order)
            check_expansion(len(content), size)
            # 0 would mean: no limit
            content = stream.decompress(stream.unconsumed_tail, max(size, 1))
        elements = Elements(content, self.order)
        header = elements.header()
        if header.kind == CELL:
            return _cells(header, elements)
        if header.kind == CHAR:
            letters = np.array(list(_text(elements)), dtype=np.str_)
            lines = letters.reshape(header.shape, order="F")
            return labels_of_lines(header.name, ["".join(line) for line in np.atleast_2d(lines)])
        return _numbers(header, elements)


def arrays_in(f: IO[bytes]) -> dict[str, Array] | None:
    """The arrays of an open file by name; None if it is no file of MATLAB 5."""
    size = regular(f)
    f.seek(124)
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(f.read(4))
    if order is None:
        return None
    found: dict[str, Array] = {}
    for _ in range(MAX_ARRAYS):
        if not (tag := f.read(8)):
            return found
        of_type, length = _words(tag, order)
        start = f.tell()
        if length > size - start:
            raise UnreadableFile("is truncated: get it again")
        head = f.read(min(length, HEAD))
        f.seek(start + length)
        if packed := of_type == COMPRESSED:
            inner = zlib.decompressobj().decompress(head, HEAD)
            of_type, _ = _words(inner[:8], order)
            head = inner[8:]
        header = Elements(head, order).header() if of_type == MATRIX else Header("")
        if header.name in found:
            raise UnreadableFile("holds two arrays of the same name: save it again")
        if header.kind and header.name:  # without a name: MATLAB's own
            found[header.name] = Array(header, start, length, packed, order)
    raise UnreadableFile(f"exceeds the limit of {MAX_ARRAYS:,} arrays")


def _numbers(header: Header, elements: Elements) -> np.ndarray:
    of_type, data = elements.next()
    stored = np.frombuffer(data, elements.order + DTYPES[of_type])
    if header.flags & COMPLEX:
        raise UnreadableFile(f"holds complex numbers in {shown([header.name])}: save real ones")
    dtype = np.dtype(bool if header.flags & LOGICAL else header.kind)
    if stored.size != prod(header.shape) or (stored.dtype.kind == "f" and dtype.kind != "f"):
        raise ValueError("another size or type")
    return stored.reshape(header.shape, order="F").astype(dtype)  # stored as briefly as it can be


def _text(elements: Elements) -> str:
    of_type, data = elements.next()
    return bytes(data).decode(CODECS[of_type].format("le" if elements.order == "<" else "be"))


def _cells(header: Header, elements: Elements) -> np.ndarray:
    check_vector(header.name, header.shape)
    return labels_of(
        header.name, [_cell(header.name, i, elements) for i in range(prod(header.shape))]
    )


def _cell(name: str, i: int, elements: Elements) -> Any:
    """The text or the number in the next cell."""
    of_type, content = elements.next()
    if of_type != MATRIX:
        raise ValueError("no array")
    inner = Elements(content, elements.order)
    header = inner.header() if content else Header("")
    size = prod(header.shape)
    if header.kind == CHAR and (size == 0 or size == header.shape[-1]):
        return _text(inner) if size else ""
    if header.kind in ("", CHAR, CELL) or size != 1 or header.flags & COMPLEX:
        raise no_label(name, i)
    return _numbers(header, inner).item()


# ---------------------------------------------------------------------- labels, of 7.3 files too


def labels_of(name: str, cells: Sequence[Any]) -> np.ndarray:
    """Labels (N,) from N texts or N numbers."""

    def where(i: int) -> str:
        return f"cell {i} (counted from 0) of the labels {shown([name])}"

    for i, cell in enumerate(cells):
        if cell == "":
            raise UnreadableFile(f"has no text in {where(i)}: give that row a label")
        if isinstance(cell, str) and len(cell) > MAX_LABEL:
            raise UnreadableFile(
                f"has a text of {len(cell):,} characters in {where(i)}, but at most "
                f"{MAX_LABEL} are read: is it the right array?"
            )
        if isinstance(cell, str) != isinstance(cells[0], str):
            raise UnreadableFile(
                f"has texts and numbers in the labels {shown([name])}: make all of them texts"
            )
    if not isinstance(next(iter(cells), ""), str):
        return np.array(cells)
    check_memory(4 * len(cells) * max(map(len, cells), default=0))  # all are padded to the longest
    return np.array(cells, dtype=np.str_)


def labels_of_lines(name: str, lines: Sequence[str]) -> np.ndarray:
    """Labels from the rows of a matrix of letters, without the blanks that fill them up."""
    return labels_of(name, [line.rstrip(" \0") for line in lines])


def check_vector(name: str, shape: Sequence[int]) -> None:
    """Raises UnreadableFile unless the cells are one column or row."""
    if prod(shape) != max(shape, default=0):
        raise UnreadableFile(
            f"has labels {shown([name])} in cells of shape {tuple(shape)}: keep one cell per row"
        )


def no_label(name: str, i: int) -> UnreadableFile:
    return UnreadableFile(
        f"holds neither a text nor a number in cell {i} (counted from 0) of the labels "
        f"{shown([name])}: make each cell one text, such as 'cat'"
    )
