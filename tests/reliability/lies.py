"""Files that lie about what they hold, by format: (what, content) pairs.

Checksums are right wherever there are any, so that a reader meets the lie itself.
"""

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from math import inf, nan

import forge
import numpy as np
from forge import array, header, npy

MIB = 1 << 20
HUGE = 10**9
VALUES = (
    *(None, True, -1, 0, 7, 1.5, nan, inf, HUGE, 2**63, 10**30, -(10**400)),
    *("", "x", "../../x", "\ud800", [], {}, [[]], [HUGE], ["x"], [1, "x"], {"x": 1}, "9" * 100_000),
)


def arrays(marker, n):
    """Of .npy files, which may be members of an archive.

    marker: a folder that a pickle would make. n: how deep, long or many the largest lies are.
    """
    pickled = pickle.dumps(forge.Evil(marker))
    f4 = np.ones((5, 4), dtype=np.float32).tobytes()
    yield "a size of 32 GiB", npy(header("<f8", (2**32, 1)))
    yield "a size of 32 GiB", npy(header("<f8", (2**16, 2**16)), b"\0" * 64)
    yield "a size that overflows", npy(header("<f8", (2**62, 2**62)), b"\0" * 64)
    yield "a size that overflows", npy(header("<f8", (2**64, 0, 1)))
    yield "a size that overflows", npy(header("|u1", (10**4000, 2)), b"\0" * 64)
    for shape in ((-1, -4), (5, -4), (-(2**63), 1), (5.0, 4.0), ("5", 4), 20, None, [5, 4], {}):
        yield "no shape", npy(header("<f4", shape), f4)
    for n in (33, 65, 1000):
        yield "too many dimensions", npy(header("<f4", (1,) * n), f4[:4])
    for shape in ((5, 5), (4, 4), (5,), ()):
        yield "another size than it has", npy(header("<f4", shape), f4)
    for dtype in ("|O", "O8", "object"):
        yield "pickled objects", npy(header(dtype, (1, 1)), pickled)
    yield "pickled objects", array(np.array([[marker.name, 1]], dtype=object))
    for dtype in (
        [("a", "<f4")],
        [("a", "|O")],
        [("a", "<f4", (10**9,))],
        ("<f4", (4,)),
        "<f4,<f4",
    ):
        yield "a structure", npy(header(dtype, (5, 4)), f4)
    for dtype in ("|V4", "<M8[s]", "<m8[s]", "<c8", "|V0", "<U0", "|S0", "<U999999999", "x", "", 5):
        yield "a dtype that is none", npy(header(dtype, (5, 4)), f4)
    call = f"__import__('os').mkdir({str(marker)!r})"
    yield "code in the header", npy(call)
    yield (
        "code in the header",
        npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {call}}}", f4),
    )
    for deep in ("(" * n, "[" * (n // 4) + "]" * (n // 4), "-" * (n // 2) + "1", "{" * (n // 10)):
        yield "a nested header", npy(deep, version=(2, 0))
        yield "a nested header", npy(deep[:9000])
    yield "a long header", npy(header("<f4", (5, 4)), f4, version=(2, 0), length=2**32 - 1)
    yield "a long header", npy(header("<f4", (5, 4)) + " " * 60_000, f4)
    yield "a long header", npy(header("<f4", (5, 4)) + " " * MIB, f4, version=(2, 0))
    yield "a long header", npy(header("|u1", (10**4000, 10**4000, 10**1000)))
    for version in ((0, 0), (3, 0), (4, 1), (255, 255)):
        yield "another version", npy(header("<f4", (5, 4)), f4, version=version)
    for text in ("", "{}", "[]", "\0", "{'descr': '<f4'}", "\udcff", "1", "{'a': 1, 'a': 2}"):
        yield "no header", npy(text, f4)
    yield "no header", b""
    yield "no header", b"\x93NUMPY"
    yield "another file", pickled
    yield "another file", gzip.compress(f4)


def archives(good, marker, n):
    """Of archives, made of a good one with two members or more."""
    first = forge.members(good)[0][0]
    for what, member in arrays(marker, n):
        yield what, forge.replaced(good, first, member)
    large = 4 * MIB + 60 * n
    zeros = array(np.zeros((1, large), dtype=np.uint8))
    bomb = forge.zipped([("X.npy", zeros)], zipfile.ZIP_DEFLATED)
    yield "a bomb", bomb
    lied = forge.patched(bomb, forge.CENTRAL, 24, "<I", 1000)  # in both places, as it is compared
    yield "a bomb that says it is small", forge.patched(lied, forge.LOCAL, 22, "<I", 1000)
    small = npy(header("|u1", (5, 4)), bytes(20))
    yield (
        "a bomb that says it is small",
        forge.patched(
            forge.zipped([("X.npy", small + bytes(large))], zipfile.ZIP_DEFLATED),
            *(forge.CENTRAL, 24, "<I", len(small)),
        ),
    )
    whole = forge.replaced(good, first, zeros)
    yield "a bomb", forge.zipped(forge.members(whole), zipfile.ZIP_DEFLATED)
    yield "an archive in an archive", forge.zipped([("X.npy", good)])
    yield "an archive in an archive", forge.zipped([("X.npy", bomb)], zipfile.ZIP_DEFLATED)
    yield "overlapping members", forge.overlapping(good, 1)
    yield "overlapping members", forge.overlapping(good, 3000)
    a = array(np.ones((5, 4)))
    for name in ("../x.npy", "/etc/x.npy", "..\\x.npy", "a/../x.npy", "", "x", "x.npy/"):
        yield (
            "a name that is a path, or no array's",
            forge.zipped([*forge.members(good), (name, a)]),
        )
    yield "two members of one name", forge.zipped([*forge.members(good), forge.members(good)[0]])
    yield "two members of one name", forge.zipped(2 * forge.members(good))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield "another compression", forge.zipped(forge.members(good), method)
    for method in (1, 9, 12, 99, 0xFFFF):
        yield "another compression", forge.patched(good, forge.CENTRAL, 10, "<H", method)
    yield (
        "an encrypted member",
        forge.patched(forge.patched(good, forge.CENTRAL, 8, "<H", 1), forge.LOCAL, 6, "<H", 1),
    )
    for size in (0, 1, 2**31, 2**32 - 2, 2**32 - 1):
        yield "another size than it has", forge.patched(good, forge.CENTRAL, 24, "<I", size)
        yield "another size than it has", forge.patched(good, forge.CENTRAL, 20, "<I", size)
    yield "another place than it has", forge.patched(good, forge.CENTRAL, 42, "<I", 2**31)
    yield "another checksum", forge.patched(good, forge.CENTRAL, 16, "<I", 1)
    yield "a member that hides others", forge.patched(good, forge.CENTRAL, 32, "<H", 2000)
    yield "members without end", forge.crowded(n)
    yield "members without end", forge.crowded(n, large=True)
    yield "another file", pickle.dumps(forge.Evil(marker))
    yield "another file", b""
    yield "another file", good[: len(good) // 2]
    yield "another file", b"PK\x05\x06" + b"\0" * 18


def texts(good, n):
    """Of checkpoints whose JSON text is no good, though it may happen to be of use."""
    meta = forge.meta(good)
    whole = json.dumps(meta)
    for text in ("", "{", "null", "[]", "1", '"x"', whole + "x", whole[:-1], "\0", "{}"):
        yield "no JSON object", forge.with_text(good, text)
    for deep in ("[" * n, '{"a":' * n, "[" * n + "]" * n):
        yield "nested JSON", forge.with_text(good, deep)
        yield "nested JSON", forge.with_text(good, whole[:-1] + f', "more": {deep}}}')
    yield (
        "an integer of 100,000 digits",
        forge.with_text(good, whole[:-1] + f', "more": {"9" * 100_000}}}'),
    )
    yield "no text", forge.replaced(good, "meta.npy", array(np.arange(3)))
    yield "no text", forge.replaced(good, "meta.npy", array(np.array([whole, whole])))
    yield "no text", forge.replaced(good, "meta.npy", None)
    for path in forge.paths(meta):
        yield "a setting left out", forge.with_meta(good, forge.changed(meta, path, ...))
        for new in VALUES:
            yield "a setting of another kind", forge.with_meta(good, forge.changed(meta, path, new))
    for name in ("hidden", "latent_dim"):
        for new in (HUGE, [HUGE, HUGE], [1] * n):
            yield (
                "a model of 10^9 units",
                forge.with_meta(good, forge.changed(meta, ("config", name), new)),
            )
    yield "a model of 10^9 units", forge.with_meta(good, forge.changed(meta, ("n_features",), HUGE))


def parameters(good):
    """Of checkpoints whose arrays are no good."""
    for name, content in forge.members(good):
        if name == "meta.npy":
            continue
        a = np.load(io.BytesIO(content))
        for bad in (nan, inf, -inf) if a.size and a.dtype.kind == "f" else ():
            b = a.copy()
            b.flat[-1] = bad
            yield "a NaN or an infinity", forge.replaced(good, name, array(b))
        yield "an array left out", forge.replaced(good, name, None)
        kinds = {"float32", "float64", "int64", "float16", ">f4", "U1"} - {
            a.dtype.str,
            a.dtype.name,
        }
        for kind in sorted(kinds):
            yield "another dtype", forge.replaced(good, name, array(a.astype(kind)))
        for b in (a[None], a.ravel()[:-1], a.ravel()[:0], np.repeat(a, 2, axis=0)):
            yield "another shape", forge.replaced(good, name, array(b))
    yield "an array too many", forge.zipped([*forge.members(good), ("param/x.npy", array(a))])


def tensors(good, n):
    """Of safetensors files."""
    about, body = forge.opened(good)
    name = next(k for k in about if k != "__metadata__")
    for length in (0, 1, 2**31, 2**63, 2**64 - 1, len(good)):
        yield "another length of its header", struct.pack("<Q", length) + good[8:]
    for text in ("", "{", "[]", "null", "[" * n, '{"a":' * n, '{"__metadata__": 1}', "\0", " " * n):
        yield "no header", forge.tensors(text, body)
    for key, values in {
        "shape": ([], [-1, 2], [2**62, 2**62], [2**32, 1], [1] * n, ["3"], None, 3),
        "dtype": ("F64", "I64", "BF16", "F8_E5M2", "x", "", None, 5),
        "data_offsets": ([0, 2**63], [8, 0], [0, 0], [-4, 20], [4, 28], [0], [], None, "x"),
    }.items():
        for new in values:
            changed = forge.changed(about, (name, key), new)
            yield f"another {key}", forge.tensors(changed, body)
        yield f"another {key}", forge.tensors(forge.changed(about, (name, key), ...), body)
    yield (
        "overlapping tensors",
        forge.tensors(
            {k: {**v, "data_offsets": [0, 24]} if "shape" in v else v for k, v in about.items()},
            body,
        ),
    )
    yield "a tensor left out", forge.tensors(forge.changed(about, (name,), ...), body)
    yield "bytes left over", good + b"\0"
    yield "cut short", good[:-1]
    described = json.loads(about["__metadata__"]["scratchvae"])
    for place in forge.paths(described):
        for new in (..., *VALUES):
            text = json.dumps(forge.changed(described, place, new))
            changed = forge.changed(about, ("__metadata__", "scratchvae"), text)
            yield "a description of another model", forge.tensors(changed, body)
    for text in ("", "{", "null", "[" * n, "9" * n, "[]", "{}"):
        changed = forge.changed(about, ("__metadata__", "scratchvae"), text)
        yield "no description", forge.tensors(changed, body)
    for bad in (nan, inf):
        values = np.frombuffer(body, dtype="<f4").copy()
        values[-1] = bad
        yield "a NaN or an infinity", forge.tensors(about, values.tobytes())


def images():
    """Of IDX files, to be read plain and gzipped."""
    most = 2**32 - 1
    pixels = b"\0" * 24
    for sizes in ((most, most, most), (most, 1, 1), (2**31, 2, 1), (2**16, 2**16, 1), (2, 3, 5)):
        yield "a size that it has not", struct.pack(">4B3I", 0, 0, 8, 3, *sizes) + pixels
    yield "a size that it has not", struct.pack(">4B3I", 0, 0, 8, 3, 0, most, most) + b"\0"
    for magic in ((0, 0, 8, 255), (0, 0, 8, 1), (0, 0, 13, 3), (1, 0, 8, 3), (0, 0, 8, 0)):
        yield "another magic number", struct.pack(">4B3I", *magic, 2, 3, 4) + pixels
    good = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + pixels
    yield "bytes left over", good + b"\0"
    for n in (0, 3, 4, 15, 16, 39):
        yield "cut short", good[:n]


def packed(n):
    """Of what only gzipped files can do; the bomb becomes n MiB."""
    pack = zlib.compressobj(wbits=31)
    bomb = pack.compress(struct.pack(">4B3I", 0, 0, 8, 3, n, MIB, 1))
    yield "a bomb", bomb + b"".join(pack.compress(bytes(MIB)) for _ in range(n)) + pack.flush()
    good = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(24))
    yield "bytes left over", good + good
    yield "bytes left over", good + b"x" * 100
    yield "cut short", good[:-1]
    yield "cut short", b"\x1f\x8b"
    yield "another checksum", good[:-8] + b"\1\2\3\4" + good[-4:]
    yield "gzipped twice", gzip.compress(good)
