"""Random damage and random lies for each reader, 100,000 files each: read exactly, or refused.

    python tests/reliability/fuzz.py --reader "IDX, gzipped" --examples 1000

Half of the files are a valid one with some bytes flipped, cut, moved, doubled or overwritten; half
are made part by part, with checksums that are right. What is accepted is compared with what the
file holds by NumPy's own reader, or by arithmetic. A failing file is shrunk before it is shown.
"""

import gzip
import io
import json
import struct
import sys
import traceback
import zipfile
from math import prod

import common
import forge
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from subjects import READERS, value

from scratchvae.checkpoint import load

EXAMPLES, IN_SHORT = 100_000, 250
KEPT = common.ROOT / "build" / "reliability"  # where a file that was misread is left
ROUND = 5_000  # examples that share a seed; Hypothesis remembers all of a round

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


# --------------------------------------------------------------------- files made part by part


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
    + ["=f4", "|O", "<c8", "|V4", "<M8[s]", "<U0", "x", "", [("a", "<f4")], ("<f4", (2,)), None, 4, "<f4,<i4"]
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
        field, form = draw(st.sampled_from([(8, "<H"), (10, "<H"), (20, "<I"), (24, "<I"), (32, "<H")]))
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


# ------------------------------------------------------------------------ what a file does hold


def held_by_idx(path):
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    sizes = struct.unpack_from(">3I", content, 4)
    return value(np.frombuffer(content[16:], dtype=np.uint8).reshape(sizes))


def held_by_arrays(path):
    """What `load_data` should make of it, by NumPy's reader."""
    content = np.load(path, allow_pickle=False)
    a = {"x": content} if path.suffix == ".npy" else {k.lower(): content[k] for k in content.files}
    if {"x_train", "x_test"} <= a.keys():
        X = np.concatenate((a["x_train"], a["x_test"]))
        both = {"y_train", "y_test"} <= a.keys()
        y = np.concatenate((a["y_train"], a["y_test"])) if both else None
    else:
        X, y = a.get("x", next(iter(a.values()))), a.get("y")
    return value((X, y.astype(np.int64) if y is not None and y.dtype.kind == "u" else y))


def held_by_checkpoint(path):
    """What `load` returned, with its parameters and settings taken from the file by NumPy."""
    model, run, arrays = load(path)
    content = np.load(path, allow_pickle=False)
    meta = json.loads(str(content["meta"]))
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in meta["config"].items()}
    if value(config) != value(model.get_params()):
        return f"settings {config}, read as {model.get_params()}".encode()
    for name, a in model.params_.items():
        if value(np.asarray(a)) != value(content[f"param/{name}"]) or not np.isfinite(a).all():
            return f"another {name}".encode()
    rest = {k: content[k] for k in content.files if k != "meta" and not k.startswith("param/")}
    if value(rest) != value(dict(arrays)):
        return b"other arrays"
    return path_read(path)


def path_read(path):
    return next(r for r in READERS if "checkpoint" in r.name).read(path)


def made_of(reader, good):
    """The strategy of files made part by part, and what one that is accepted must be read as."""
    if "checkpoint" in reader.name:
        return checkpoints(good), held_by_checkpoint
    if reader.suffix == ".npz":
        return npz_files(forge.members(good)), held_by_arrays
    if reader.suffix == ".npy":
        return npy_files(), held_by_arrays
    return gzip_files() if reader.packed else idx_files(), held_by_idx


class Trial:
    """One kind of files for one reader: what became of each."""

    def __init__(self, reader, path, holds):
        self.reader, self.path, self.holds = reader, path, holds
        self.read = self.refused = 0

    def check(self, content):
        self.path.write_bytes(content)
        try:
            got = self.reader.read(self.path)
        except self.reader.error:
            self.refused += 1
            return
        self.read += 1
        assert got == self.holds(self.path), "read as something else than it holds"

    def run(self, files, examples, key):
        """So many examples; what was lost, "" if nothing was."""
        rounds = 0
        while self.read + self.refused < examples:
            rounds += 1

            @seed(1000 * key + rounds)
            @settings(
                max_examples=min(ROUND, examples), database=None, deadline=None,
                phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
                print_blob=False, report_multiple_bugs=False,
            )  # fmt: skip
            @given(files)
            def test(content):
                self.check(content)

            try:
                test()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                KEPT.mkdir(parents=True, exist_ok=True)
                kept = KEPT / self.path.name
                kept.write_bytes(self.path.read_bytes())
                return f"{traceback.format_exception_only(error)[-1].strip()[:300]}; see {kept}"
        return ""


def fuzz(reader, path, examples, key, counts):
    """Both kinds of files for one reader."""
    reader.make(path)
    good, wanted = path.read_bytes(), reader.read(path)
    made, held = made_of(reader, good)
    edits = st.lists(edit, min_size=1, max_size=4).map(lambda some: damaged(good, some))
    as_it_was = (lambda _: wanted) if reader.checked else held
    for what, files, holds in (("damaged", edits, as_it_was), ("made", made, held)):
        trial = Trial(reader, path.with_name(f"{what}-{path.name}"), holds)
        lost = trial.run(files, examples // 2, key)
        counts.add(f"{reader.name}: {what}, read", n=trial.read)
        counts.add(f"{reader.name}: {what}, refused", n=trial.refused)
        if lost:
            counts.add(f"{reader.name}: {what}, neither", lost)


def main():
    options = common.options(
        __doc__,
        ("--reader", {"choices": [r.name for r in READERS], "help": "only this one"}),
        ("--examples", {"type": int, "help": f"for each reader, default {EXAMPLES:,}"}),
    )
    counts = common.Counts("fuzz", options)
    examples = options.examples or (IN_SHORT if options.short else EXAMPLES)
    common.bound_memory()
    with common.workplace(memory=True) as folder:
        for reader in READERS:
            if options.reader in (None, reader.name):
                fuzz(reader, folder / f"{'-'.join(reader.name.replace(',', '').split())}{reader.suffix}", examples, options.seed, counts)
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
