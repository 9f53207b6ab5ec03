"""Reads untrusted .npy and .npz files.

NumPy's own reader allocates what a header claims: 128 bytes may ask for 32 GiB. Here the members,
sizes, dtypes and shapes that a file claims are compared with its bytes before memory is allocated.
Arrays hold numbers or text, never Python objects, and nothing in a file becomes a path.
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

LONGEST_HEADER = 10_000  # bytes; NumPy writes 128
MOST_MEMBERS = 10_000
MOST_DIMENSIONS = 32  # NumPy 1 knew no more
LAST_RECORD = struct.Struct("<4s4H2IH")  # of an archive: how many members it lists, in how much
LOCATOR = 20  # bytes before it that may say where a record of the newer kind is
ENTRY = 46 + 256  # bytes in that list that a member may take


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file."""
    with open_at_once(path) as f:
        return _array(f, regular(f))


def read_npz(path: Path, compressed: bool = True) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name; compressed: whether they may be."""
    with open_at_once(path) as f:
        size = regular(f)
        listed = _check_list(f, size)
        with zipfile.ZipFile(f) as content:
            members = content.infolist()
            if len(members) != listed:  # a damaged one can hide those behind it
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
    """How many members an archive says that it lists, looked up before the list is read."""
    f.seek(max(0, size - LAST_RECORD.size - LOCATOR))
    tail = f.read().rjust(LAST_RECORD.size + LOCATOR, b"\0")
    f.seek(0)
    mark, _, _, _, listed, length, _, comment = LAST_RECORD.unpack(tail[LOCATOR:])
    # a record of the newer kind would be believed instead; archives below 4 GiB need none
    newer = tail.startswith(b"PK\x06\x07") and size < 1 << 32
    if mark != b"PK\x05\x06" or comment or newer:
        raise UnreadableFile("is damaged, or another kind of file")
    if listed > MOST_MEMBERS or length > MOST_MEMBERS * ENTRY:
        raise UnreadableFile(f"has more members than the {MOST_MEMBERS} that are read")
    return listed


def _check_members(members: list[zipfile.ZipInfo], size: int, compressed: bool) -> None:
    if len({m.filename for m in members}) < len(members):
        raise UnreadableFile("has two members of one name")
    known = (zipfile.ZIP_STORED, *([zipfile.ZIP_DEFLATED] if compressed else []))
    for m in members:
        parts = m.filename.replace("\\", "/").split("/")
        if not m.filename.endswith(".npy") or ".." in parts or "" in parts:
            raise UnreadableFile(f"has a member {m.filename!r}, which is no array of NumPy's")
        if m.compress_type not in known or m.flag_bits & 1:
            raise UnreadableFile(f"has a member {m.filename!r} that is compressed or encrypted")
    total = sum(m.file_size for m in members)
    if total > (limit(size) if compressed else size):
        raise UnreadableFile(
            f"says that its {size:,} bytes become {total:,}, more than are read: save it again "
            "with numpy.savez, without compression"
        )


def _array(f: IO[bytes], size: int) -> np.ndarray:
    """The array that is the next `size` bytes, all of them."""
    dtype, fortran, shape, start = _header(f)
    if dtype.kind not in "biufUS" or dtype.fields or dtype.subdtype or dtype.itemsize == 0:
        raise UnreadableFile(f"holds an array of dtype {dtype}, where numbers or text are read")
    if len(shape) > MOST_DIMENSIONS or any(n < 0 for n in shape):
        raise UnreadableFile(f"says that an array has the shape {shape}")
    if prod(shape) * dtype.itemsize != size - start:
        raise UnreadableFile(
            f"should hold an array of {dtype} and shape {shape}, but has {size - start:,} bytes of "
            "it: get the file again"
        )
    data = bytearray(size - start)
    if f.readinto(data) != len(data) or f.read(1):  # type: ignore[attr-defined]
        raise UnreadableFile("ends too early or too late: get the file again")
    flat = np.frombuffer(data, dtype)
    _check_values(flat)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _header(f: IO[bytes]) -> tuple[np.dtype, bool, tuple[int, ...], int]:
    """dtype, whether in Fortran's order, shape, and how many bytes said so."""
    versions = {
        b"\x93NUMPY\x01\x00": (2, np.lib.format.read_array_header_1_0),
        b"\x93NUMPY\x02\x00": (4, np.lib.format.read_array_header_2_0),
    }
    magic = f.read(8)
    if magic not in versions:
        raise UnreadableFile("holds no array of NumPy's: it is damaged, or another kind of file")
    width, parse = versions[magic]
    prefix = f.read(width)
    length = int.from_bytes(prefix, "little")
    if length > LONGEST_HEADER:
        raise UnreadableFile(f"has a header of {length:,} bytes, where NumPy writes 128")
    with warnings.catch_warnings():  # of a header that Python 2 wrote
        warnings.simplefilter("ignore")
        try:
            shape, fortran, dtype = parse(BytesIO(prefix + f.read(length)))
        except MemoryError:  # Python's answer to a deeply nested text
            raise UnreadableFile("has a header that is no header of NumPy's") from None
    return dtype, fortran, shape, len(magic) + width + length


def _check_values(flat: np.ndarray) -> None:
    """UnreadableFile where bytes are no value of their dtype, which would go wrong much later."""
    if flat.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise UnreadableFile("holds truth values that are neither true nor false")
    if flat.dtype.kind == "U":
        letters = flat.view(f"{flat.dtype.str[0]}u4")
        if ((letters > 0x10FFFF) | (letters >> 11 == 0x1B)).any():  # beyond Unicode; surrogates
            raise UnreadableFile("holds text that is no Unicode")
