"""GIF files, read by their bytes: what a reader that is no part of the project finds in them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass
class Gif:
    size: tuple[int, int]
    delays: list[int]  # of each frame, in milliseconds
    loops: int | None  # 0: for ever; None: shown once
    palettes: int  # of single frames, beside the one of all


def read_gif(path):
    """The blocks of a GIF89a file."""
    data = path.read_bytes()
    assert data[:6] == b"GIF89a"
    width, height = (int.from_bytes(data[i : i + 2], "little") for i in (6, 8))
    flags = data[10]
    assert flags & 0x80, "one palette for all"
    found, at = Gif((width, height), [], None, 0), 13 + 3 * 2 ** ((flags & 7) + 1)

    def blocks(at):
        content = b""
        while data[at]:
            content += data[at + 1 : at + 1 + data[at]]
            at += data[at] + 1
        return content, at + 1

    while data[at] != 0x3B:
        if data[at] == 0x21:
            kind = data[at + 1]
            content, at = blocks(at + 2)
            if kind == 0xF9:
                found.delays.append(10 * int.from_bytes(content[1:3], "little"))
            elif content.startswith(b"NETSCAPE2.0"):
                found.loops = int.from_bytes(content[12:14], "little")
        else:
            assert data[at] == 0x2C
            flags = data[at + 9]
            found.palettes += bool(flags & 0x80)
            at += 10 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
            _, at = blocks(at + 1)
    return found


def frames_of(path):
    """All frames as a viewer shows them: (F,height,width,3), bytes."""
    shown = []
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            shown.append(np.asarray(image.convert("RGB")))
    return np.array(shown)
