"""Hypothesis's strategies of files: valid ones that are damaged, and ones made part by part."""

import gzip
import struct
import zipfile
import zlib
from math import prod

import forge
import numpy as np
from hypothesis import strategies as st

from scratchvae.train import COLUMNS

number = st.integers(0, 2**32 - 1)
edit = st.tuples(st.integers(0, 7), number, number, st.binary(min_size=1, max_size=8))
EXTREMES = [struct.pack("<Q", n) for n in (0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63)]


def damaged(content, edits):
    """The file after some edits: (kind, where, how much, bytes) each."""
    out = bytearray(content)
    for kind, where, size, extra in edits:
        at = where % (len(out) + 1)
        n = size % 64
        block = out[at : at + n]
        if kind == 0 and at < len(out):
            out[at] ^= 1 << size % 8
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            out[at:at] = extra
        elif kind == 3:
            del out[at : at + n]
        elif kind == 4:
            out[at:at] = block
        elif kind == 5:  # a block takes the place of another
            to = size % (len(out) + 1)
            out[to : to + len(block)] = block
        elif kind == 6:
            out[at : at + len(extra)] = extra
        elif kind == 7:
            number = EXTREMES[size % len(EXTREMES)][: 1 << size // 8 % 4]
            out[at : at + len(number)] = number
    return bytes(out)


def damaged_files(good):
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: damaged(good, edits))


little = st.integers(-2, 6)
size = st.one_of(little, little, little, st.sampled_from([2**31, 2**32, 2**62, 2**64]))
usual = st.tuples(st.integers(1, 4), st.integers(1, 4))
shape = st.one_of(
    *(usual, usual, usual),
    st.lists(size, max_size=5).map(tuple),
    st.sampled_from([(True, 2), (2.0, 2), 5, None, (1,) * 40, ((2,), 2)]),
)
dtype = st.sampled_from(
    3 * ["<f4", "<f8", "|u1", "<i8", "|b1", "<U3", "|S2", ">f4", ">i8", "<f2", "f4"]
    + [
        "=f4",
        "|O",
        "<c8",
        "|V4",
        "<M8[s]",
        "<U0",
        "x",
        "",
        [("a", "<f4")],
        ("<f4", (2,)),
        None,
        4,
        "<f4,<i4",
    ]
)


@st.composite
def npy_files(draw):
    descr, sizes = draw(dtype), draw(shape)
    try:
        right = int(np.dtype(descr).itemsize * prod(sizes))
    except (TypeError, ValueError, OverflowError, SyntaxError):
        right = 0
    n = right if 0 <= right < 400 and draw(st.integers(0, 5)) else draw(st.integers(0, 80))
    body = bytes(n) if draw(st.booleans()) else (draw(st.binary(min_size=1, max_size=8)) * n)[:n]
    text = forge.header(descr, sizes, draw(st.sampled_from([False, True, 0, None])))
    if draw(st.integers(0, 9)) == 0:
        text = draw(st.one_of(st.text(max_size=40), st.just(text + " " * 20_000)))
    version = draw(st.sampled_from([(1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (0, 9)]))
    length = draw(st.sampled_from([None] * 6 + [0, 1, 117, 65_535]))
    return forge.npy(text, body, version=version, length=length)


name = st.one_of(
    st.sampled_from(["X", "y", "x", "x_train", "x_test", "y_train", "meta", "../x", "/x", "", "a"]),
    st.text(max_size=5),
).map(lambda stem: stem + ".npy")


@st.composite
def npz_files(draw, some):
    """Some members of a good file, and some that are forged, under any name."""
    members = [m for m in some if draw(st.integers(0, 7))]
    members += draw(st.lists(st.tuples(name, npy_files()), max_size=2))
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    content = forge.zipped([(n.encode("utf-8", "replace").decode(), c) for n, c in members], method)
    if draw(st.integers(0, 3)) == 0:  # and fields of the archive itself that lie
        field, form = draw(
            st.sampled_from([(8, "<H"), (10, "<H"), (20, "<I"), (24, "<I"), (32, "<H")])
        )
        if forge.CENTRAL in content:
            lie = draw(number) & (0xFFFF if form == "<H" else 0xFFFFFFFF)
            content = forge.patched(content, forge.CENTRAL, field, form, lie)
    return content


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from([10**9, 2**63, -1, 0, 1, "vae", "ae", "m2", "float64", "cuda", "relu"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip


@st.composite
def checkpoints(draw, good):
    """A good one with other settings, or other arrays."""
    if draw(st.integers(0, 3)) == 0:
        return draw(npz_files(forge.members(good)))
    meta = forge.meta(good)
    for _ in range(draw(st.integers(1, 2))):
        places = list(forge.paths(meta))
        new = draw(st.one_of(json_values, json_values, st.just(...)))
        meta = forge.changed(meta, places[draw(st.integers(0, len(places) - 1))], new)
    return forge.with_meta(good, meta)


@st.composite
def idx_files(draw):
    ndim = draw(st.sampled_from([3] * 12 + [0, 1, 2, 4, 255]))
    sizes = [draw(st.one_of(*[st.integers(0, 4)] * 6, number)) for _ in range(min(ndim, 4))]
    right = prod(sizes)
    n = right if right < 300 and draw(st.integers(0, 3)) else draw(st.integers(0, 80))
    kind = draw(st.sampled_from([8] * 12 + [9, 13, 0]))
    head = struct.pack(f">4B{len(sizes)}I", 0, 0, kind, ndim, *sizes)
    return head + (draw(st.binary(min_size=1, max_size=8)) * n)[:n]


@st.composite
def gzip_files(draw):
    parts = draw(st.one_of(*[st.lists(idx_files(), min_size=n, max_size=n) for n in (1, 1, 1, 2)]))
    whole = b"".join(gzip.compress(p, draw(st.integers(0, 9)), mtime=0) for p in parts)
    return whole + draw(st.sampled_from([b""] * 9 + [b"\0", b"\0" * 9, b"x", b"\x1f\x8b"]))


@st.composite
def tensor_files(draw, good):
    """A good one with another header, or another description of its model."""
    about, body = forge.opened(good)
    for _ in range(draw(st.integers(1, 2))):
        places = list(forge.paths(about))
        new = draw(st.one_of(json_values, st.sampled_from([[1, 2], [0, 24], "F64"]), st.just(...)))
        about = forge.changed(about, places[draw(st.integers(0, len(places) - 1))], new)
    return forge.tensors(about, body)


@st.composite
def tables(draw):
    """metrics.csv"""
    cell = st.one_of(st.text(max_size=6), st.integers().map(str), st.floats().map(str))
    rows = draw(st.lists(st.lists(cell, max_size=9), max_size=4))
    head = draw(st.one_of(st.just(",".join(COLUMNS)), st.text(max_size=20)))
    text = "\n".join([head, *map(",".join, rows)])
    return text.encode(draw(st.sampled_from(["utf-8", "utf-16"])), "replace")


cell = st.sampled_from(
    6 * ["1", "-2.5", "3e4", "0", "label", "a", "b"]
    + [
        "",
        "NA",
        "nan",
        "inf",
        "1e999",
        "x" * 300,
        '"1',
        '1"',
        "1_0",
        "\u0661",
        "true",
        "?",
        "1,5",
        "\x00",
    ]
)


@st.composite
def csv_files(draw, packed=False):
    """Rows of cells, with separators, quotes, ends of lines and encodings of their own."""
    separator = draw(st.sampled_from([",", ",", ";", "\t"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    width = st.just(draw(st.integers(0, 4))) if draw(st.booleans()) else st.integers(0, 5)
    row = width.flatmap(lambda n: st.lists(cell, min_size=n, max_size=n))
    lines = [separator.join(cells) for cells in draw(st.lists(row, max_size=6))]
    text = end.join(lines) + draw(st.sampled_from(["", end, '"', end + end]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-7"]))
    content = text.encode(encoding)
    return gzip.compress(content, mtime=0) if packed else content


@st.composite
def png_files(draw, good):
    """A PNG whose chunks are damaged, left out or doubled, with checksums that are right."""
    chunks, at = [], 8
    while at < len(good):
        (size,) = struct.unpack_from(">I", good, at)
        chunks.append(good[at + 4 : at + 8 + size])  # the name, and what it holds
        at += 12 + size
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(chunks) - 1))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            chunks[i : i + 1] = 2 * [chunks[i]]
        elif kind == 1 and len(chunks) > 1:
            del chunks[i]
        else:
            chunks[i] = chunks[i][:4] + damaged(chunks[i][4:], [draw(edit)])
    out = good[:8]
    for chunk in chunks:
        out += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return out
