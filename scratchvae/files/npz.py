"""Read untrusted .npy and .npz files.

NumPy's reader allocates the size that a header claims: 128 bytes can request 32 GiB. Here the
claimed members, sizes, dtypes and shapes are compared with the file's bytes, and memory is
allocated as bytes arrive. Arrays hold numbers or text, never Python objects, and no name in a file
is used as a path.
"""

import gzip
import struct
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from .reading import (
    UnreadableFile,
    check_expansion,
    open_at_once,
    opened,
    read_bytes,
    regular,
    without_warnings,
)

SUFFIX = ".npy"  # of members
MAX_HEADER = 10_000  # bytes; NumPy writes 128
MAX_MEMBERS = 10_000
MAX_DIMENSIONS = 32  # the limit of NumPy 1
END_RECORD = struct.Struct("<4s4H2IH")  # end of the central directory: members, size in bytes
LOCATOR = 20  # bytes of the ZIP64 locator, which may precede it
MAX_ENTRY = 46 + 256  # bytes of one member in the central directory


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file, which may be gzipped."""
    with opened(path) as (f, size, gzipped):
        return _array(f, size, gzipped=gzipped)


def names_in(path: Path) -> list[str]:
    """The names of the arrays in a .npz file. Other members are ignored."""
    with _archive(path) as (_, members, _):
        return [_name(m) for m in members if m.filename.endswith(SUFFIX)]


def read_npz(
    path: Path, wanted: Collection[str] | None = None, *, compressed: bool = True
) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name: all, or those wanted; the other members are not read.

    compressed: whether members may be compressed.
    """
    with _archive(path) as (content, members, size):
        if wanted is not None:
            known = {f"{name}{SUFFIX}" for name in wanted}
            for other in (m for m in members if m.filename not in known):
                content.open(other).close()  # compares its two names: a flipped bit cannot hide it
            members = [m for m in members if m.filename in known]
        _check_members(members, size, compressed)
        arrays = {}
        for member in members:
            with content.open(member) as f:
                arrays[_name(member)] = _array(f, member.file_size, _name(member))
        return arrays


@contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo], int]]:
    """An archive, its members, and its size in bytes."""
    with open_at_once(path) as f:
        size = regular(f)
        listed = _check_list(f, size)
        with zipfile.ZipFile(f) as content:
            members = content.infolist()
            if len(members) != listed:  # a damaged entry can hide the entries after it
                raise UnreadableFile(
                    f"lists {listed} members, but has {len(members)}: get it again"
                )
            if len({m.filename for m in members}) < len(members):
                raise UnreadableFile("has two members of the same name")
            yield content, members, size


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(SUFFIX)


def _check_list(f: IO[bytes], size: int) -> int:
    """The number of members that an archive claims, checked before its directory is read."""
    f.seek(max(0, size - END_RECORD.size - LOCATOR))
    tail = f.read().rjust(END_RECORD.size + LOCATOR, b"\0")
    f.seek(0)
    mark, _, _, _, listed, length, _, comment = END_RECORD.unpack(tail[LOCATOR:])
    # zipfile would trust a ZIP64 record instead; archives below 4 GiB need none
    zip64 = tail.startswith(b"PK\x06\x07") and size < 1 << 32
    if mark != b"PK\x05\x06" or comment or zip64:
        raise UnreadableFile("is damaged, or another kind of file")
    if listed > MAX_MEMBERS or length > MAX_MEMBERS * MAX_ENTRY:
        raise UnreadableFile(f"exceeds the limit of {MAX_MEMBERS} members")
    return listed


def _check_members(members: list[zipfile.ZipInfo], size: int, compressed: bool) -> None:
    known = (zipfile.ZIP_STORED, *([zipfile.ZIP_DEFLATED] if compressed else []))
    for m in members:
        parts = m.filename.replace("\\", "/").split("/")
        if not m.filename.endswith(SUFFIX) or ".." in parts or "" in parts:
            raise UnreadableFile(f"has a member {m.filename!r}, which is not a NumPy array")
        if m.compress_type not in known or m.flag_bits & 1:
            raise UnreadableFile(f"has a member {m.filename!r} that is compressed or encrypted")
    stored = sum(m.file_size for m in members if m.compress_type == zipfile.ZIP_STORED)
    if stored > size:  # members overlap, or a size is forged
        raise UnreadableFile(f"claims to hold {stored:,} bytes, but has {size:,}: get it again")
    if expanded := sum(m.file_size for m in members) - stored:
        check_expansion(size, expanded)


def _array(
    f: IO[bytes] | gzip.GzipFile, size: int, name: str = "", *, gzipped: bool = False
) -> np.ndarray:
    """The array in the next `size` bytes, which must be exactly its size.

    gzipped: `size` is that of the compressed file, and the array may be larger.
    """
    dtype, fortran, shape, start = _header(f)
    if dtype.fields:
        names = ", ".join(list(dtype.fields)[:5])
        raise UnreadableFile(
            f"holds {f'{name!r}, ' if name else ''}an array with the fields {names}: save each as "
            "an array in a .npz file, numpy.savez(file, NAME=a['NAME'], ...)"
        )
    if dtype.kind not in "biufUS" or dtype.subdtype or dtype.itemsize == 0:
        raise UnreadableFile(
            f"holds {f'{name!r}, ' if name else ''}an array of dtype {dtype}, but only numbers and "
            "text are read: convert it with .astype(float), or .astype(str) for names, and save it "
            "again"
        )
    if len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise UnreadableFile(f"claims an array with the invalid shape {shape}")
    length = prod(shape) * dtype.itemsize
    if gzipped:
        check_expansion(size, length)
    elif length != size - start:
        raise UnreadableFile(
            f"should hold an array of {dtype} and shape {shape}, but has {size - start:,} bytes "
            "for it: get the file again"
        )
    flat = np.frombuffer(read_bytes(f, length), dtype)
    # bytes that are invalid for their dtype would fail only later
    if dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise UnreadableFile("holds booleans that are neither 0 nor 1")
    if dtype.kind == "U":
        letters = flat.view(f"{dtype.str[0]}u4")
        if ((letters > 0x10FFFF) | (letters >> 11 == 0x1B)).any():  # beyond Unicode; surrogates
            raise UnreadableFile("holds text that is not valid Unicode")
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _header(f: IO[bytes] | gzip.GzipFile) -> tuple[np.dtype, bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape, and the number of header bytes."""
    versions = {
        b"\x93NUMPY\x01\x00": (2, np.lib.format.read_array_header_1_0),
        b"\x93NUMPY\x02\x00": (4, np.lib.format.read_array_header_2_0),
    }
    magic = f.read(8)
    if magic not in versions:
        raise UnreadableFile("holds no NumPy array: it is damaged, or another kind of file")
    width, parse = versions[magic]
    prefix = f.read(width)
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise UnreadableFile(f"has a header of {length:,} bytes, but NumPy writes 128")
    with without_warnings():  # about headers written by Python 2
        try:
            shape, fortran, dtype = parse(BytesIO(prefix + f.read(length)))
        except MemoryError:  # raised by Python's parser for deeply nested text
            raise UnreadableFile("has an invalid NumPy header") from None
    return dtype, fortran, shape, len(magic) + width + length
