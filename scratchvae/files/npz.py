"""Read untrusted .npy and .npz files.

NumPy's reader allocates the size that a header claims: 128 bytes can request 32 GiB. Here the
claimed members, sizes, dtypes and shapes are compared with the file's bytes before memory is
allocated. Arrays hold numbers or text, never Python objects, and no name in a file is used as a
path.
"""

import struct
import warnings
import zipfile
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from .reading import UnreadableFile, limit, open_at_once, regular

MAX_HEADER = 10_000  # bytes; NumPy writes 128
MAX_MEMBERS = 10_000
MAX_DIMENSIONS = 32  # the limit of NumPy 1
END_RECORD = struct.Struct("<4s4H2IH")  # end of the central directory: members, size in bytes
LOCATOR = 20  # bytes of the ZIP64 locator, which may precede it
MAX_ENTRY = 46 + 256  # bytes of one member in the central directory


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file."""
    with open_at_once(path) as f:
        return _array(f, regular(f))


def read_npz(path: Path, compressed: bool = True) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name; `compressed` allows compressed members."""
    with open_at_once(path) as f:
        size = regular(f)
        listed = _check_list(f, size)
        with zipfile.ZipFile(f) as content:
            members = content.infolist()
            if len(members) != listed:  # a damaged entry can hide the entries after it
                raise UnreadableFile(
                    f"lists {listed} members, but has {len(members)}: get it again"
                )
            _check_members(members, size, compressed)
            arrays = {}
            for member in members:
                with content.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _array(stream, member.file_size)
            return arrays


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
        raise UnreadableFile(f"has more than {MAX_MEMBERS} members, the most that are read")
    return listed


def _check_members(members: list[zipfile.ZipInfo], size: int, compressed: bool) -> None:
    if len({m.filename for m in members}) < len(members):
        raise UnreadableFile("has two members of the same name")
    known = (zipfile.ZIP_STORED, *([zipfile.ZIP_DEFLATED] if compressed else []))
    for m in members:
        parts = m.filename.replace("\\", "/").split("/")
        if not m.filename.endswith(".npy") or ".." in parts or "" in parts:
            raise UnreadableFile(f"has a member {m.filename!r}, which is not a NumPy array")
        if m.compress_type not in known or m.flag_bits & 1:
            raise UnreadableFile(f"has a member {m.filename!r} that is compressed or encrypted")
    total = sum(m.file_size for m in members)
    if total > (limit(size) if compressed else size):
        raise UnreadableFile(
            f"claims to expand from {size:,} to {total:,} bytes, more than are read: save it again "
            "with numpy.savez, without compression"
        )


def _array(f: IO[bytes], size: int) -> np.ndarray:
    """The array in the next `size` bytes, which must be exactly its size."""
    dtype, fortran, shape, start = _header(f)
    if dtype.kind not in "biufUS" or dtype.fields or dtype.subdtype or dtype.itemsize == 0:
        raise UnreadableFile(f"holds an array of dtype {dtype}, but only numbers and text are read")
    if len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise UnreadableFile(f"claims an array of the invalid shape {shape}")
    if prod(shape) * dtype.itemsize != size - start:
        raise UnreadableFile(
            f"should hold an array of {dtype} and shape {shape}, but has {size - start:,} bytes "
            "for it: get the file again"
        )
    data = bytearray(size - start)
    if f.readinto(data) != len(data) or f.read(1):  # type: ignore[attr-defined]
        raise UnreadableFile("is shorter or longer than it claims: get the file again")
    flat = np.frombuffer(data, dtype)
    # bytes that are invalid for their dtype would fail only later
    if dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise UnreadableFile("holds booleans that are neither 0 nor 1")
    if dtype.kind == "U":
        letters = flat.view(f"{dtype.str[0]}u4")
        if ((letters > 0x10FFFF) | (letters >> 11 == 0x1B)).any():  # beyond Unicode; surrogates
            raise UnreadableFile("holds text that is not valid Unicode")
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _header(f: IO[bytes]) -> tuple[np.dtype, bool, tuple[int, ...], int]:
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
        raise UnreadableFile(f"has a header of {length:,} bytes, where NumPy writes 128")
    with warnings.catch_warnings():  # about headers written by Python 2
        warnings.simplefilter("ignore")
        try:
            shape, fortran, dtype = parse(BytesIO(prefix + f.read(length)))
        except MemoryError:  # raised by Python's parser for deeply nested text
            raise UnreadableFile("has an invalid NumPy header") from None
    return dtype, fortran, shape, len(magic) + width + length
