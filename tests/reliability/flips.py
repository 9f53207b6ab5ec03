"""Cuts small files at every length and flips every bit: read exactly, or refused with one error.

Where a format has no checksum, a changed pixel cannot be seen; such files are counted apart.
"""

import resource
import sys

import common
from subjects import READERS

STEP_IN_SHORT = 97  # of the bits, and of the lengths of a larger file, one in so many is tried


def outcome(reader, path, content, wanted):
    """ "" if the file was refused or read as it was; else what happened."""
    path.write_bytes(content)
    try:
        got = reader.read(path)
    except reader.error:
        return ""
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "" if got == wanted else "another value"


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def main():
    options = common.options(__doc__)
    counts = common.Counts("flips", options)
    with common.scratch_folder(memory=True) as folder:
        for reader in READERS:
            path = folder / f"file{reader.suffix}"
            reader.make(path)
            content = path.read_bytes()
            wanted = reader.read(path)
            common.bound_memory()
            step = STEP_IN_SHORT if options.short else 1
            for length in range(0, len(content), step):
                lost = outcome(reader, path, content[:length], wanted)
                counts.add(f"{reader.name}: cut short", lost and f"at {length}: {lost}")
            unseen = 0
            for bit in range(0, 8 * len(content), step):
                lost = outcome(reader, path, flipped(content, bit), wanted)
                if lost == "another value" and not reader.checked:
                    unseen += 1
                    continue
                counts.add(f"{reader.name}: a bit flipped", lost and f"bit {bit}: {lost}")
            if not reader.checked:
                counts.add(f"{reader.name}: a bit flipped, unseen for want of a checksum", n=unseen)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    counts.note(f"most memory that the process had: {peak} MiB")
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
