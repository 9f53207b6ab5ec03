"""A disk that is full, broken or read-only: the old checkpoint stays, nothing is left over.

Doubles of the calls that change a disk fail one after the other, first in the saving of a
checkpoint, then in whole runs of `train`. Then it is tried for real: file systems too small for a
run (mounted in memory, where this process may mount), one that is read-only, and a folder that
belongs to another user. What failed must go on to the same bytes once there is room.
"""

import mmap
import os
import shutil
import subprocess
import sys

import common
from calls import Calls, broken, full
from subjects import make_model, make_run

from scratchvae.models.load import load

LINE = ("--checkpoint-every", "3")
EPOCHS = 2
FAILING = ("open", "write", "mkdir", "fsync", "replace", "rename", "link")
FAULTS = {
    "the disk is full at one call": (full, False),
    "the disk is full from one call on": (full, True),
    "a call fails": (broken, False),
}
NOBODY = 65534
KIB = 1 << 10


def saves(counts, folder):
    """The saving of a model over a run's checkpoint, with the n-th call failing, for every n."""
    path, old, new = folder / "model.npz", folder / "old.npz", folder / "new.npz"
    make_run(old)
    make_model(new)
    either = old.read_bytes(), new.read_bytes()
    for what, (act, lasting) in FAULTS.items():
        n, calls = 0, None
        while calls is None or calls.last:
            n += 1
            path.write_bytes(either[0])
            error = None
            with Calls(act, n, lasting, FAILING) as calls:
                try:
                    make_model(path)
                except OSError as e:
                    error = e
            now = path.read_bytes()
            lost = ""
            if now not in either:
                lost = "neither the old file nor the new one"
            elif error is None and now == either[0]:
                lost = "the old file, and no error"
            elif error is not None and str(error.filename) != str(path):
                lost = f"the error names {error.filename}"
            elif common.temporaries(folder):
                lost = f"left over: {common.temporaries(folder)}"
            counts.add(f"a save: {what}", lost and f"call {n}, {calls.last}: {lost}")


def after_a_failure(folder, code, said):
    """What is wrong with a run that ended as this; "" if it is as promised."""
    if code != 2 or not common.one_sentence(said):
        return f"exit code {code}, and it said: {said[-500:]}"
    if not folder.exists():
        return ""
    for path in folder.glob("*.npz"):
        try:
            load(path)
        except ValueError as error:
            return str(error)
    if common.temporaries(folder):
        return f"left over: {common.temporaries(folder)}"
    return ""


def gone_on(folder, data, errors, wanted, code):
    """Let a run that failed, by its code, go on to its end in peace; what is wrong with that."""
    if code == 0:
        return common.compared(folder, wanted)
    began = any(folder.glob("checkpoint*.npz"))
    line = common.train_line(data, folder, EPOCHS, *LINE, "--resume" if began else "--overwrite")
    code, said = common.finished(line, errors)
    if code and not (code == 2 and common.was_whole(said)):
        return f"exit code {code} afterwards, and it said: {said[-500:]}"
    return common.compared(folder, wanted)


def runs(counts, place, data, wanted, step):
    """`train` with the n-th call failing, for every step-th n; and on from there."""
    folder, errors = place / "run", place / "errors"
    for what, (act, lasting) in FAULTS.items():
        n, came = 1, mmap.mmap(-1, 1)  # shared with the fork
        while n == 1 or came[0]:
            came[0] = 0

            def fault(name, act=act, came=came):
                came[0] = 1
                act(name)

            line = common.train_line(data, folder, EPOCHS, *LINE)
            calls = Calls(fault, n, lasting, FAILING)
            code, said = common.finished(line, errors, calls.__enter__)
            lost = "" if code == 0 else after_a_failure(folder, code, said)
            counts.add(f"a run: {what}", lost and f"call {n}: {lost}")
            lost = gone_on(folder, data, errors, wanted, code)
            counts.add(f"a run: {what}, and it goes on", lost and f"call {n}: {lost}")
            shutil.rmtree(folder, ignore_errors=True)
            n += step


def small_disks(counts, place, data, wanted, sizes):
    """File systems that are too small, and then are not."""
    errors, disk = place / "errors", place / "disk"
    disk.mkdir()
    for size in sizes:
        common.mount(disk, f"size={size * KIB}")
        try:
            folder = disk / "run"
            code, said = common.finished(common.train_line(data, folder, EPOCHS, *LINE), errors)
            lost = after_a_failure(folder, code, said) if code else ""
            counts.add("a small disk", lost and f"{size} KiB: {lost}")
            common.mount(disk, f"remount,size={64 * KIB * KIB}")
            lost = gone_on(folder, data, errors, wanted, code)
            counts.add("a small disk that grows, and it goes on", lost and f"{size} KiB: {lost}")
        finally:
            subprocess.run(["umount", disk], check=True)


def read_only(counts, place, data):
    """A folder on a disk that cannot be written, new and with a run in it."""
    errors, disk = place / "errors", place / "disk"
    common.mount(disk, "size=1m")
    try:
        line = common.train_line(data, disk / "run", 1)
        common.finished(line, errors)
        before = {p.name: p.read_bytes() for p in (disk / "run").iterdir()}
        common.mount(disk, "remount,ro")
        for more in (["--overwrite"], ["--resume", "--epochs", "2"]):
            code, said = common.finished([*line, *more], errors)
            lost = "" if code == 2 and common.one_sentence(said) else f"{code}: {said[-300:]}"
            if {p.name: p.read_bytes() for p in (disk / "run").iterdir()} != before:
                lost = "the folder has changed"
            counts.add("a read-only disk", lost)
        code, said = common.finished(common.train_line(data, disk / "new", 1), errors)
        lost = "" if code == 2 and common.one_sentence(said) else f"{code}: {said[-300:]}"
        counts.add("a read-only disk", lost)
    finally:
        subprocess.run(["umount", disk], check=True)


def of_another_user(counts, place, data):
    """A folder that this process may read, and not write."""
    errors, folder = place / "errors", place / "run"
    line = common.train_line(data, folder, 1)
    common.finished(line, errors)
    place.chmod(0o755)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    for more in (["--overwrite"], ["--resume", "--epochs", "2"]):
        code, said = common.finished([*line, *more], errors, lambda: os.setuid(NOBODY))
        lost = "" if code == 2 and common.one_sentence(said) else f"{code}: {said[-300:]}"
        if {p.name: p.read_bytes() for p in folder.iterdir()} != before:
            lost = "the folder has changed"
        counts.add("a folder of another user", lost)


def main():
    options = common.options(__doc__)
    counts = common.Counts("disk", options)
    common.without_pictures()
    with common.scratch_folder() as place:
        data = common.small_data(place / "data.npz", options.seed)
        saves(counts, common.folder(place / "saves"))
        common.finished(common.train_line(data, place / "whole", EPOCHS, *LINE), place / "errors")
        wanted = common.result(place / "whole")
        runs(counts, place, data, wanted, 17 if options.short else 1)
        if common.may_mount(place):
            sizes = range(4, 140, 40 if options.short else 4)
            small_disks(counts, place, data, wanted, sizes)
            read_only(counts, place, data)
        else:
            counts.note("real small disks: not tried, this process may not mount any")
        if os.geteuid() == 0:
            of_another_user(counts, place, data)
        else:
            counts.note("a folder of another user: not tried, this process is not root")
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
