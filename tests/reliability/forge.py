"""Builds forged files part by part, with valid checksums."""

import io
import json
import os
import struct
import warnings
import zipfile

import numpy as np


class Evil:
    """What a pickle could do to whoever loads it: here, it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def header(dtype, shape, fortran=False):
    """The text of a .npy header; dtype and shape may be anything that has a repr."""
    return f"{{'descr': {dtype!r}, 'fortran_order': {fortran!r}, 'shape': {shape!r}, }}"


def npy(text, body=b"", *, version=(1, 0), length=None):
    """A .npy file of that header; `length` is what it says that the header's length is."""
    text = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    width = "<H" if version == (1, 0) else "<I"
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, size) + text + body


def array(a):
    """The .npy file of an array, as NumPy writes it."""
    out = io.BytesIO()
    np.save(out, a)
    return out.getvalue()


def zipped(members, method=zipfile.ZIP_STORED):
    """A zip archive of (name, content) pairs, in that order; a name may come twice."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # of doubled names
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)
    return out.getvalue()


def members(content):
    """The (name, content) pairs of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def replaced(content, name, new):
    """The archive with other content for a member; None leaves the member out."""
    rest = [(n, new if n == name else c) for n, c in members(content)]
    return zipped([(n, c) for n, c in rest if c is not None])


def meta(content):
    """The JSON text of a checkpoint, parsed."""
    return json.loads(str(np.load(io.BytesIO(dict(members(content))["meta.npy"]))))


def with_text(content, text):
    """The checkpoint with another JSON text."""
    return replaced(content, "meta.npy", array(np.array(text)))


def with_meta(content, meta):
    return with_text(content, json.dumps(meta))


def patched(content, signature, offset, form, value, which=0):
    """The archive with a field of the which-th record of this signature overwritten."""
    at = -1
    for _ in range(which + 1):
        at = content.index(signature, at + 1)
    changed = bytearray(content)
    struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def overlapping(content, n):
    """The archive with the entry of its first member repeated n times under other names."""
    at, end = content.index(CENTRAL), content.index(END)
    first = content[at : content.index(CENTRAL, at + 1)]
    length = struct.unpack_from("<H", first, 28)[0]
    name = first[46 : 46 + length]
    more = b"".join(
        first[:46] + f"{i:0{length - 4}}.npy".encode()[:length] + first[46 + length :]
        for i in range(n)
    )
    assert len(name) == length
    tail = bytearray(content[end:])
    total = struct.unpack_from("<H", tail, 10)[0] + n
    struct.pack_into("<HHI", tail, 8, total & 0xFFFF, total & 0xFFFF, end - at + len(more))
    return content[:end] + more + bytes(tail)


def crowded(n, large=False):
    """An archive that has n members, each the same empty one; large: in the way of large ones."""
    name = b"x.npy"
    local = struct.pack("<4s5H3I2H", LOCAL, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
    entry = struct.pack(
        "<4s6H3I5H2I", CENTRAL, 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0
    )
    central = n * (entry + name)
    if large:  # the sizes stand in a record of the newer kind, and the old one lies
        at = len(local) + len(central)
        newer = struct.pack(
            "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, n, n, len(central), len(local)
        )
        central += newer + struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
        n = 1
    listed, size = n & 0xFFFF, len(entry + name) if large else len(central)
    end = struct.pack("<4s4H2IH", END, 0, 0, listed, listed, size, len(local), 0)
    return local + central + end


def opened(content):
    """The header of a safetensors file, parsed, and its body."""
    length = struct.unpack_from("<Q", content)[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def tensors(about, body):
    """A safetensors file of this header, parsed or as text."""
    text = (about if isinstance(about, str) else json.dumps(about)).encode()
    return struct.pack("<Q", len(text)) + text + body


def paths(tree, at=()):
    """The place of every value in a JSON tree, as a tuple of keys."""
    pairs = enumerate(tree) if isinstance(tree, list) else ()
    for key, child in tree.items() if isinstance(tree, dict) else pairs:
        yield (*at, key)
        yield from paths(child, (*at, key))


def changed(tree, path, new):
    """A copy of a JSON tree with another value at a place; Ellipsis takes the place away."""
    copy = json.loads(json.dumps(tree))
    *way, last = path
    node = copy
    for key in way:
        node = node[key]
    if new is ...:
        del node[last]
    else:
        node[last] = new
    return copy
