"""Random damage and random lies for each reader, 100,000 files each: read exactly, or refused.

    python tests/reliability/fuzz.py --reader "IDX, gzipped" --examples 1000

Half of the files are a valid one with some bytes flipped, cut, moved, doubled or overwritten; half
are made part by part, with checksums that are right. What is accepted is compared with what the
file holds by NumPy's own reader, or by arithmetic. A failing file is shrunk before it is shown.
"""

import gzip
import json
import struct
import sys

import common
import forge
import made
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from subjects import BROUGHT, READERS, Reader, read_checkpoint, read_csv, read_picture, value

from scratchvae.data.arrays import pairs_of
from scratchvae.errors import DataError
from scratchvae.files.npz import names_in
from scratchvae.files.run_folder import seconds_of_epochs, write_metrics
from scratchvae.models.load import load
from scratchvae.train import COLUMNS

EXAMPLES, IN_SHORT = 100_000, 150
KEPT = common.ROOT / "build" / "reliability"  # where a file that was misread is left
ROUND = 5_000  # examples that share a seed; Hypothesis remembers all of a round


# ------------------------------------------------------------------------ what a file does hold


def held_by_idx(path):
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    sizes = struct.unpack_from(">3I", content, 4)
    return value(np.frombuffer(content[16:], dtype=np.uint8).reshape(sizes))


def held_by_arrays(path):
    """What `load_data` should make of it, by NumPy's reader of the arrays that are asked for."""
    content = np.load(path, allow_pickle=False)
    if path.suffix == ".npy":
        return value((content, None))
    parts = [
        (content[x], None if y is None else classes(content[y], len(content[x])))
        for x, y in pairs_of(names_in(path)).values()
    ]
    X, y = (
        None if any(a is None for a in of) else np.concatenate(of)
        for of in zip(*parts, strict=True)
    )
    return value((X, y.astype(np.int64) if y is not None and y.dtype.kind == "u" else y))


def classes(y, rows):
    """Labels (N,), which may stand there as (N,1) or one-hot."""
    return y.reshape(rows) if y.size == rows else y.argmax(axis=1)


def held_by_checkpoint(path):
    """What `load` returned, with its parameters and settings taken from the file by NumPy."""
    model, _, arrays = load(path)
    content = np.load(path, allow_pickle=False)
    meta = json.loads(str(content["meta"]))
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in meta["config"].items()}
    read = model.get_params()
    if value(config) != value({k: read[k] for k in config}):  # one that is not there is the default
        return f"settings {config}, read as {read}".encode()
    for name, a in model.params_.items():
        if value(np.asarray(a)) != value(content[f"param/{name}"]) or not np.isfinite(a).all():
            return f"another {name}".encode()
    rest = {k: content[k] for k in content.files if k != "meta" and not k.startswith("param/")}
    if value(rest) != value(dict(arrays)):
        return b"other arrays"
    return read_checkpoint(path)


def made_of(reader, good):
    """The strategy of files made part by part, and what one that is accepted must be read as."""
    if reader is METRICS:
        return made.tables(), reader.read
    if reader.suffix == ".png":
        return made.png_files(good), reader.read
    if reader.read is read_picture:
        return made.damaged_files(good), reader.read
    if reader.read is read_csv:
        return made.csv_files(packed=reader.packed), reader.read
    if reader.suffix == ".safetensors":
        return made.tensor_files(good), reader.read
    if "checkpoint" in reader.name:
        return made.checkpoints(good), held_by_checkpoint
    if reader.suffix == ".npz":
        return made.npz_files(forge.members(good)), held_by_arrays
    if reader.suffix == ".npy":
        return made.npy_files(), held_by_arrays
    return made.gzip_files() if reader.packed else made.idx_files(), held_by_idx


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
                kept = KEPT / f"misread-{self.path.name}"
                kept.write_bytes(self.path.read_bytes())
                return f"{type(error).__name__}: {str(error)[:300]}; see {kept}"
        return ""


def make_table(path):
    write_metrics(path.parent, [dict.fromkeys(COLUMNS, 1.5) | {"epoch": 1, "step": 4}] * 2)


# a resumed run takes the seconds of its epochs from there, or none: it is never refused
METRICS = Reader(
    "metrics.csv", "metrics.csv", DataError,
    lambda path: value(seconds_of_epochs(path.parent)), make_table, checked=False,
)  # fmt: skip
ALL = [*READERS, METRICS, *BROUGHT]


def fuzz(reader, path, examples, key, counts):
    """Both kinds of files for one reader."""
    reader.make(path)
    good, wanted = path.read_bytes(), reader.read(path)
    parts, held = made_of(reader, good)
    as_it_was = (lambda _: wanted) if reader.checked else held
    for what, files, holds in (
        ("damaged", made.damaged_files(good), as_it_was),
        ("made", parts, held),
    ):
        trial = Trial(reader, path, holds)
        lost = trial.run(files, examples // 2, key)
        counts.add(f"{reader.name}: {what}, read", n=trial.read)
        counts.add(f"{reader.name}: {what}, refused", n=trial.refused)
        if lost:
            counts.add(f"{reader.name}: {what}, neither", lost)


def main():
    options = common.options(
        __doc__,
        ("--reader", {"choices": [r.name for r in ALL], "help": "only this one"}),
        ("--examples", {"type": int, "help": f"for each reader, default {EXAMPLES:,}"}),
    )
    counts = common.Counts("fuzz", options)
    examples = options.examples or (IN_SHORT if options.short else EXAMPLES)
    common.bound_memory()
    with common.scratch_folder(memory=True) as folder:
        for number, reader in enumerate(ALL):
            if options.reader in (None, reader.name):
                own = common.folder(folder / str(number))
                name = reader.suffix if reader is METRICS else f"file{reader.suffix}"
                fuzz(reader, own / name, examples, options.seed, counts)
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
