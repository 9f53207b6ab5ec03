"""Folders of pictures: formats, classes, splits, sizes, and invalid files of every kind."""

import io
import os
import re
import struct
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zlib
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from scratchvae import DataError, InputError
from scratchvae.data.images import (
    has_splits,
    holds_images,
    listing,
    parse_size,
    picture,
    read,
    read_images,
)

GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def save(path, pixels=GREY, **options):
    """Write an array, or an image of Pillow, to a file in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    image.save(path, **options)
    return path


def exif(orientation):
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def refused(folder, *args, **options):
    """The one sentence with which a folder is refused."""
    with pytest.raises(DataError) as error:
        read_images(folder, *args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def scan_backwards(monkeypatch):
    """From here on, folders list their entries in reversed order."""
    scandir = os.scandir

    def backwards(path):
        with scandir(path) as entries:
            return nullcontext(sorted(entries, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr(os, "scandir", backwards)


def outcome(folder, **options):
    """What reading gives: an array, or the sentence of a refusal."""
    try:
        return read_images(folder, **options).X
    except DataError as error:
        return str(error)


def png(width, height, idat=b"", depth=8, kind=0, before=b""):
    """A PNG whose header claims what the data need not hold."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before
        + chunk(b"IDAT", zlib.compress(idat)) + chunk(b"IEND", b"")
    )  # fmt: skip


# --- pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.BMP", "a.tif", "a.TIFF", "a.pgm"])
def test_grey_pictures_come_back_exactly(tmp_path, name):
    save(tmp_path / name)
    X, y, _ = read_images(tmp_path)
    np.testing.assert_array_equal(X, GREY[None])
    assert X.dtype == np.uint8
    assert y is None


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.ppm", "a.webp"])
def test_colour_pictures_come_back_exactly(tmp_path, name):
    save(tmp_path / name, COLOUR, **({"lossless": True} if name == "a.webp" else {}))
    np.testing.assert_array_equal(read_images(tmp_path).X, COLOUR[None])


@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_jpeg_comes_back_nearly(tmp_path, pixels):
    pixels = pixels.repeat(8, 0).repeat(8, 1)
    save(tmp_path / "a.jpg", pixels, quality=95)
    save(tmp_path / "b.JPEG", pixels, quality=95)
    X = read_images(tmp_path).X
    assert X.shape == (2, *pixels.shape)
    assert abs(X[0].astype(int) - pixels).mean() < 8


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(tmp_path, compression):
    save(tmp_path / "a.tif", COLOUR, compression=compression)
    np.testing.assert_array_equal(read_images(tmp_path).X[0], COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_of_grey_are_scaled_by_their_range_and_rounded(tmp_path, name):
    values = np.array([[0, 128, 129, 257], [32896, 65278, 65407, 65535]], np.uint16)
    if name == "a.pgm":
        (tmp_path / name).write_bytes(b"P5 4 2 65535\n" + values.astype(">u2").tobytes())
    else:
        save(tmp_path / name, values)
    np.testing.assert_array_equal(read_images(tmp_path).X[0], [[0, 0, 1, 1], [128, 254, 255, 255]])
    assert read_images(tmp_path, grey=False).X[0, 1].tolist() == [
        [v] * 3 for v in (128, 254, 255, 255)
    ]


def test_big_endian_16_bit_tiff(tmp_path):
    values = np.array([[0, 257, 65535]], ">u2")
    tags = [
        (256, 3),
        (257, 1),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, 1),
        (279, 6),
    ]
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(data.ljust(122, b"\0") + values.tobytes())
    assert read_images(tmp_path).X.tolist() == [[[0, 1, 255]]]


def test_bits_become_black_and_white(tmp_path):
    bits = Image.fromarray(GREY).point(lambda v: 255 * (v > 100), mode="1")
    for name in ("a.png", "b.tif", "c.bmp", "d.pbm"):
        save(tmp_path / name, bits)
    np.testing.assert_array_equal(read_images(tmp_path).X, [255 * (GREY > 100)] * 4)


def test_transparent_pixels_become_white_and_half_transparent_ones_are_mixed(tmp_path):
    alpha = np.array([[255, 0, 128, 255]] * 3, np.uint8)
    save(tmp_path / "a" / "a.png", np.dstack([GREY, alpha]))
    X = read_images(tmp_path / "a").X
    assert X.shape == (1, 3, 4)  # grey stays grey
    assert (X[0, :, 1] == 255).all()
    np.testing.assert_array_equal(X[0, :, ::3], GREY[:, ::3])
    mixed = (GREY[:, 2] * 128.0 + 255 * 127) / 255
    np.testing.assert_allclose(X[0, :, 2], mixed, atol=1)
    save(tmp_path / "b" / "a.png", np.dstack([COLOUR, alpha]))
    X = read_images(tmp_path / "b").X
    assert (X[0, :, 1] == 255).all()
    np.testing.assert_array_equal(X[0, :, ::3], COLOUR[:, ::3])


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_palettes_and_their_transparent_entry(tmp_path, name):
    image = Image.new("P", (3, 1))
    image.putpalette([250, 0, 0, 0, 250, 0, 0, 0, 250])
    image.putdata([0, 1, 2])
    save(tmp_path / name, image)
    assert read_images(tmp_path).X.tolist() == [[[[250, 0, 0], [0, 250, 0], [0, 0, 250]]]]
    save(tmp_path / name, image, transparency=1)
    assert read_images(tmp_path).X.tolist() == [[[[250, 0, 0], [255] * 3, [0, 0, 250]]]]


def test_a_transparent_grey_of_png_becomes_white(tmp_path):
    save(tmp_path / "a.png", GREY, transparency=20)
    expected = np.where(GREY == 20, 255, GREY)
    np.testing.assert_array_equal(read_images(tmp_path).X[0], expected)


def test_cmyk_becomes_rgb(tmp_path):
    save(tmp_path / "a.tif", Image.new("CMYK", (2, 1), (0, 255, 255, 0)))
    assert read_images(tmp_path).X.tolist() == [[[[255, 0, 0]] * 2]]
    save(tmp_path / "b.jpg", Image.new("CMYK", (2, 1), (0, 255, 255, 0)))
    np.testing.assert_allclose(read_images(tmp_path).X[1], [[[255, 0, 0]] * 2], atol=3)


@pytest.mark.parametrize("mode", ["RGBX", "YCbCr", "PA", "RGBA"])
def test_other_kinds_of_colour_in_tiff_files(tmp_path, mode):
    red = Image.new("P", (2, 1)) if mode == "PA" else Image.new("RGB", (2, 1), (255, 0, 0))
    if mode == "PA":
        red.putpalette([255, 0, 0])
    with Image.open(save(tmp_path / "a.tif", red.convert(mode))) as image:
        if mode == "YCbCr" and image.mode != mode:
            pytest.skip("this Pillow cannot read the YCbCr that it writes")
    np.testing.assert_allclose(read_images(tmp_path).X, [[[[255, 0, 0]] * 2]], atol=2)


def test_premultiplied_alpha_of_tiff_files(tmp_path):
    path = save(tmp_path / "a.tif", np.array([[[100, 0, 0, 128]]], np.uint8))
    data = path.read_bytes()
    extra_sample = struct.pack("<HHIH", 338, 3, 1, 2)  # an alpha channel that is not premultiplied
    assert extra_sample in data
    path.write_bytes(data.replace(extra_sample, struct.pack("<HHIH", 338, 3, 1, 1)))
    np.testing.assert_allclose(read_images(tmp_path).X, [[[[227, 127, 127]]]], atol=2)


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_of_unknown_range_are_refused(tmp_path, mode):
    path = save(tmp_path / "a.tif", Image.new(mode, (3, 2)))
    assert refused(tmp_path) == (
        f"{path} has pixels of Pillow's mode {mode}, which are not read: save it as 8-bit or "
        "16-bit grey, or as RGB"
    )


def test_only_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("L", (4, 3), 200), Image.new("L", (4, 3), 10)]
    for name in ("a.gif", "b.tif"):
        save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
    assert (read_images(tmp_path).X == 200).all()
    save(tmp_path / "c.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert (read_images(tmp_path).X == 200).all()


UPRIGHT = {  # by hand: where the first row and the first column are seen, in EXIF's words
    1: GREY,
    2: GREY[:, ::-1],
    3: GREY[::-1, ::-1],
    4: GREY[::-1],
    5: GREY.T,
    6: GREY[::-1].T,
    7: GREY[::-1, ::-1].T,
    8: GREY.T[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_pictures_are_turned_upright_as_exif_says(tmp_path, name, orientation):
    save(tmp_path / name, exif=exif(orientation))
    np.testing.assert_array_equal(read_images(tmp_path).X[0], UPRIGHT[orientation])
    save(tmp_path / "b.png", UPRIGHT[orientation])  # of the same size, once upright
    X = read_images(tmp_path).X
    np.testing.assert_array_equal(X[0], X[1])


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_photos_are_turned_upright(tmp_path, name):
    save(tmp_path / name, COLOUR.repeat(8, 0).repeat(8, 1), exif=exif(6))
    X = read_images(tmp_path).X
    assert X.shape == (1, 32, 24, 3)
    np.testing.assert_array_equal(read_images(tmp_path, size=(32, 24)).X, X)


def test_damaged_exif_data_leave_a_picture_as_it_is_stored(tmp_path):
    save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff nonsense")
    save(tmp_path / "b.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(read_images(tmp_path).X, [GREY] * 2)


def test_exif_data_behind_the_pixels_of_a_png(tmp_path):
    path = save(tmp_path / "a.png", exif=exif(6))
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    chunk, rest = data[start : start + length], data[:start] + data[start + length :]
    end = rest.index(b"IEND") - 4
    path.write_bytes(rest[:end] + chunk + rest[end:])
    assert refused(tmp_path) == (
        f"{path} has 4 x 3 pixels, but its header says 3 x 4: save it again, or resize all "
        "pictures with --size 32 (size=32)"
    )
    np.testing.assert_array_equal(read_images(tmp_path, size=(4, 3)).X[0], UPRIGHT[6])


# --- size and colour ------------------------------------------------------------------------------


def test_pictures_of_different_sizes_are_refused_with_the_first_two(tmp_path):
    save(tmp_path / "1.png")
    save(tmp_path / "2.png")
    save(tmp_path / "10.png", GREY.T)
    save(tmp_path / "11.png", GREY[:1])
    assert refused(tmp_path) == (
        f"{tmp_path / '1.png'} has 3 x 4 pixels (height x width), but {tmp_path / '10.png'} "
        "4 x 3: resize all with --size 32 (size=32)"
    )
    assert read_images(tmp_path, size=(5, 7)).X.shape == (4, 5, 7)


def test_resizing_averages_and_stretches(tmp_path):
    board = np.indices((64, 96)).sum(0) % 2 * 255
    save(tmp_path / "a.png", board.astype(np.uint8))
    X = read_images(tmp_path, size=(8, 4)).X
    assert X.shape == (1, 8, 4)
    np.testing.assert_allclose(X, 127.5, atol=3)  # nearest neighbours would be 0 or 255
    halves = np.repeat([[0, 255]], [40, 60], axis=1).repeat(10, 0).astype(np.uint8)
    save(tmp_path / "a.png", halves)
    X = read_images(tmp_path, size=(10, 10)).X[0]
    assert (X[:, :3] < 20).all()  # all of the width is there: nothing is cropped
    assert (X[:, 5:] > 235).all()


def test_the_size_that_pictures_have_changes_nothing(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    np.testing.assert_array_equal(read_images(tmp_path, size=(3, 4)).X[0], COLOUR)


def test_transparency_is_resolved_before_resizing(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, ::2] = (200, 0, 0, 255)  # between transparent columns, which are stored as black
    save(tmp_path / "a.png", pixels)
    np.testing.assert_allclose(
        read_images(tmp_path, size=(1, 1)).X[0, 0, 0], [227, 127, 127], atol=3
    )


def test_large_jpegs_are_decoded_small_and_look_the_same(tmp_path, rng):
    low = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    photo = low.resize((1200, 900), Image.Resampling.BICUBIC)
    save(tmp_path / "jpg" / "a.jpg", photo, quality=95)
    save(tmp_path / "png" / "a.png", photo)
    jpg, png = (
        read_images(tmp_path / kind, size=(24, 32)).X.astype(int) for kind in ("jpg", "png")
    )
    assert abs(jpg - png).mean() < 3


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_pixels_of_a_large_jpeg_can_be_made_by_hand(tmp_path, rng, orientation):
    """As the guide to pictures says."""
    photo = Image.fromarray(rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)).resize((800, 600))
    path = save(tmp_path / "a.jpg", photo, exif=exif(orientation))
    H, W = 24, 32
    with Image.open(path) as image:
        image.draft(None, (3 * max(H, W),) * 2)
        assert image.size == (200, 150)
        upright = ImageOps.exif_transpose(image).convert("RGB")
    expected = np.asarray(upright.resize((W, H), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(read_images(path, size=(H, W)).X[0], expected)
    with Image.open(path) as image:
        whole = ImageOps.exif_transpose(image).resize((W, H), Image.Resampling.LANCZOS)
    assert (np.asarray(whole) != expected).any()


def test_a_large_jpeg_is_not_decoded_whole(tmp_path, monkeypatch):
    save(tmp_path / "a.jpg", np.zeros((800, 800), np.uint8))
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(
        JpegImageFile, "load", lambda image: decoded.append(image.size) or load(image)
    )
    read_images(tmp_path, size=(40, 20))
    assert decoded[0] == (200, 200)  # the smallest of 400, 200 and 100 from 3 x 40 pixels on


def test_colour_if_one_picture_has_colour(tmp_path):
    save(tmp_path / "a.png")
    assert read_images(tmp_path).X.shape == (1, 3, 4)
    assert read_images(tmp_path, grey=False).X.shape == (1, 3, 4, 3)
    save(tmp_path / "b.png", np.stack([GREY] * 3, axis=2))  # its channels are equal
    save(tmp_path / "c.png")
    X = read_images(tmp_path).X
    np.testing.assert_array_equal(X, np.stack([np.stack([GREY] * 3, axis=2)] * 3))
    np.testing.assert_array_equal(read_images(tmp_path, grey=True).X, [GREY] * 3)


def test_grey_is_the_luminance(tmp_path):
    save(tmp_path / "a.png", np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))
    assert read_images(tmp_path, grey=True).X.tolist() == [[[76, 150, 29]]]


@pytest.mark.parametrize(
    ("text", "size"),
    [("32", (32, 32)), ("32x48", (32, 48)), (" 1X8192 ", (1, 8192))],
)
def test_sizes_are_height_by_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "32x", "x32", "-3", "3.5", "1x2x3", "32 x 48", "٣٢", "9" * 5000]
)
def test_other_texts_are_no_sizes(text):
    with pytest.raises(InputError) as error:
        parse_size(text)
    assert str(error.value) == (
        "--size (size=) must be 32, for 32 x 32 pixels, or 32x48, for height 32 and width 48, "
        f"got {text!r}"
    )


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_an_input_error(text):
    try:
        height, width = parse_size(text)
    except InputError:
        return
    assert 1 <= min(height, width) <= max(height, width) <= 8192


def test_sizes_out_of_range_are_refused(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(
        InputError, match=re.escape("--size (size=) must be a whole number >= 1, got 0")
    ):
        parse_size("32x0")
    with pytest.raises(
        InputError, match=re.escape("--size (size=) must be <= 8192 pixels, got 8193")
    ):
        parse_size("8193x1")
    with pytest.raises(InputError, match="must be a whole number >= 1, got -1"):
        read_images(tmp_path, size=(-1, 3))
    with pytest.raises(InputError, match=r"must be a whole number >= 1, got 1\.5"):
        read_images(tmp_path, size=(1.5, 3))
    for wrong in (32, (1, 2, 3), "32"):
        with pytest.raises(InputError, match=r"size must be \(height, width\) in pixels, got"):
            read_images(tmp_path, size=wrong)


# --- classes, splits, order -----------------------------------------------------------------------


def test_sub_folders_are_classes(tmp_path):
    for i, name in enumerate(["10/b.png", "2/a.png", "cat/x/y/z.png", "cat/b.png", "cat/a.png"]):
        save(tmp_path / name, np.full((2, 2), i, np.uint8))
    (tmp_path / "empty").mkdir()
    X, y, paths = read_images(tmp_path)
    assert paths == ("2/a.png", "10/b.png", "cat/a.png", "cat/b.png", "cat/x/y/z.png")
    assert y.tolist() == ["2", "10", "cat", "cat", "cat"]
    assert y.dtype.kind == "U"
    assert X[:, 0, 0].tolist() == [1, 0, 4, 3, 2]


def test_one_picture_is_a_data_set_of_one(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", GREY + 1)
    X, y, paths = read_images(tmp_path / "b.png", size=(4, 3))
    assert X.shape == (1, 4, 3)
    assert y is None
    assert paths == ("b.png",)


def test_names_that_are_no_unicode_are_escaped(tmp_path):
    try:
        save(tmp_path / "a.png").rename(os.fsdecode(bytes(tmp_path) + b"/\xff.png"))
    except OSError:
        pytest.skip("this file system has only names in Unicode")
    assert read_images(tmp_path).files == ("\\xff.png",)


def test_files_are_sorted_by_path_with_numbers_by_value(tmp_path):
    order = [
        "01.png",
        "1.png",
        "2.png",
        "10.png",
        "B.png",
        "a.png",
        "a1b2.png",
        "a1b10.png",
        "ä.png",
    ]
    for name in reversed(order):
        save(tmp_path / name, np.full((1, 1), order.index(name), np.uint8))
    assert read_images(tmp_path).X.ravel().tolist() == list(range(len(order)))


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    for i in range(12):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", np.full((1, 1), i, np.uint8))
    save(tmp_path / "a" / "00.png", np.full((1, 1), 99, np.uint8))  # as a number equal to 0.png
    before = read_images(tmp_path).X
    scan_backwards(monkeypatch)
    np.testing.assert_array_equal(read_images(tmp_path).X, before)
    assert before.ravel().tolist() == [0, 99, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Train", "VAL"), ("training", "validation"), ("train", "valid")],
)
def test_splits(tmp_path, train, test):
    save(tmp_path / train / "cat" / "a.png", np.full((2, 2), 1, np.uint8))
    save(tmp_path / train / "dogs" / "a.png", np.full((2, 2), 2, np.uint8))
    save(tmp_path / test / "dogs" / "a.png", np.full((2, 2), 3, np.uint8))
    assert has_splits(tmp_path)
    for split, values, labels in (
        ("train", [1, 2], ["cat", "dogs"]),
        ("test", [3], ["dogs"]),
        ("all", [1, 2, 3], ["cat", "dogs", "dogs"]),
    ):
        X, y, _ = read_images(tmp_path, split)
        assert X[:, 0, 0].tolist() == values
        assert y.tolist() == labels


def test_test_goes_before_val_which_is_then_not_read(tmp_path, monkeypatch, capsys):
    scan_backwards(monkeypatch)
    for name in ("train", "val", "test", "zoo", ".git"):
        save(tmp_path / name / "a.png", np.full((1, 1), len(name), np.uint8))
    X, y, _ = read_images(tmp_path, "test", verbose=True)
    assert X.tolist() == [[[4]]]
    assert y is None
    assert capsys.readouterr().err == (
        f"scratchvae: warning: {tmp_path}: only train and test are read, not 'val'\n"
    )
    read_images(tmp_path, "test")
    assert capsys.readouterr() == ("", "")


def test_one_split_without_classes_leaves_both_together_without(tmp_path):
    save(tmp_path / "train" / "cat" / "a.png")
    save(tmp_path / "test" / "a.png")
    assert read_images(tmp_path, "train").y.tolist() == ["cat"]
    assert read_images(tmp_path, "test").y is None
    assert read_images(tmp_path).y is None


def test_both_splits_decide_size_and_colour(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "test" / "a.png", COLOUR)
    assert read_images(tmp_path, "train").X.shape == (1, 3, 4, 3)
    save(tmp_path / "test" / "b.png", GREY.T)
    assert "resize all with --size 32 (size=32)" in refused(tmp_path, "train")


def test_a_train_folder_alone_is_a_class(tmp_path):
    save(tmp_path / "train" / "a.png")  # one of vehicles, maybe
    save(tmp_path / "bus" / "a.png")
    assert not has_splits(tmp_path)
    assert read_images(tmp_path).y.tolist() == ["bus", "train"]


@pytest.mark.parametrize(("there", "wanted"), [("Train", "test"), ("val", "train")])
def test_one_split_of_two_is_no_class(tmp_path, there, wanted):
    save(tmp_path / there / "cat" / "a.png")
    save(tmp_path / "holdout" / "cat" / "a.png")
    assert refused(tmp_path) == (
        f"{tmp_path} has {there}/ with sub-folders, but no other split: call the other one "
        f"{wanted}/, or name this one: --data {tmp_path / there}"
    )


def test_a_split_that_is_not_there_is_refused(tmp_path):
    save(tmp_path / "a.png")
    assert refused(tmp_path, "train") == (
        f"{tmp_path} has no split 'train': make sub-folders train/ and test/ in it"
    )


def test_pictures_beside_and_in_sub_folders_are_refused(tmp_path):
    save(tmp_path / "z.png")
    save(tmp_path / "cat" / "a.png")
    remedy = "put all into sub-folders, one per class, or none"
    assert refused(tmp_path) == (
        f"{tmp_path} holds pictures directly (z.png) and in sub-folders (cat/): {remedy}"
    )
    (tmp_path / "cat").rename(tmp_path / "Train")
    save(tmp_path / "test" / "a.png")
    assert refused(tmp_path) == (
        f"{tmp_path} holds pictures directly (z.png) and in sub-folders (Train/): {remedy}"
    )


def test_what_is_not_a_picture_is_skipped_and_counted(tmp_path, capsys):
    save(tmp_path / "cat" / "a.png")
    for name in (".hidden.png", "._a.png", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    for name in ("__MACOSX", ".ipynb_checkpoints", "@eaDir"):
        save(tmp_path / name / "a.png")
    assert read_images(tmp_path, verbose=True).y.tolist() == ["cat"]
    assert capsys.readouterr() == ("", "")
    (tmp_path / "cat" / "b.heic").write_bytes(b"x")
    (tmp_path / "a\x1b[31m.txt").write_bytes(b"x")
    read_images(tmp_path, verbose=True)
    assert capsys.readouterr().err == (
        f"scratchvae: warning: {tmp_path}: skipped files that are not pictures: 2, such as "
        "'a\\x1b[31m.txt'; convert HEIC to JPEG: 1\n"
    )
    read_images(tmp_path)
    assert capsys.readouterr() == ("", "")


def test_skipped_files_beside_and_in_splits_are_counted(tmp_path, capsys):
    for name in ("train", "test"):
        save(tmp_path / name / "a.png")
        (tmp_path / name / "b.txt").write_bytes(b"x")
    (tmp_path / "README").write_bytes(b"x")
    read_images(tmp_path, verbose=True)
    assert "not pictures: 3, such as 'README'" in capsys.readouterr().err


def test_a_folder_without_pictures_says_what_it_holds(tmp_path):
    remedy = "PNG, JPEG, GIF, BMP, TIFF, WebP and PPM are read"
    assert refused(tmp_path) == f"{tmp_path} holds no pictures: {remedy}"
    (tmp_path / "cat").mkdir()
    for name in ("c.heic", "b.heic", "d.heic"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    assert refused(tmp_path) == (
        f"{tmp_path} holds no pictures (other files: 3, such as cat/b.heic): {remedy}; "
        "convert HEIC to JPEG: 3"
    )
    save(tmp_path / "train" / "a.png")
    (tmp_path / "test").mkdir()
    assert refused(tmp_path) == f"{tmp_path / 'test'} holds no pictures: {remedy}"


@pytest.mark.parametrize("name", ["a.png", "cat/a.JPG", "train/cat/a.gif"])
def test_pictures_down_to_split_and_class_are_found(tmp_path, name):
    save(tmp_path / name)
    assert holds_images(tmp_path)


def test_no_pictures_are_found_in_hidden_or_deeper_folders_or_other_files(tmp_path):
    save(tmp_path / "a" / "b" / "c" / "a.png")
    save(tmp_path / ".hidden" / "a.png")
    (tmp_path / "a.txt").write_bytes(b"x")
    assert not holds_images(tmp_path)


def test_looking_for_pictures_stops_at_the_first(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    (tmp_path / "deeper").mkdir()
    scanned = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scandir(path))
    assert holds_images(tmp_path)
    assert scanned == [tmp_path]


# --- file systems ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [read_images, holds_images, has_splits])
def test_a_folder_that_is_missing_is_refused(tmp_path, ask):
    with pytest.raises(DataError, match=f"there is no file {tmp_path / 'none'}: check the path"):
        ask(tmp_path / "none")


def test_loops_of_symbolic_links_are_read_once(tmp_path):
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "dog" / "a.png")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "cat" / "self").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "dog").symlink_to(tmp_path / "dog")
    (tmp_path / "cat" / "loop").symlink_to("loop")
    assert read_images(tmp_path).y.tolist() == ["cat", "dog"]
    assert holds_images(tmp_path)


def test_links_that_would_multiply_are_read_once(tmp_path):
    for i in range(40):  # 2**40 ways lead to the picture
        (tmp_path / str(i)).mkdir()
        for name in "ab":
            (tmp_path / str(i) / name).symlink_to(tmp_path / str(i + 1))
    save(tmp_path / "40" / "a.png")
    assert len(read_images(tmp_path / "0").X) == 1


def test_linked_classes_and_files_are_read(tmp_path):
    save(tmp_path / "store" / "x" / "a.png")
    (tmp_path / "photos" / "dog").mkdir(parents=True)
    (tmp_path / "photos" / "cat").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "photos" / "dog" / "b.png").symlink_to(tmp_path / "store" / "x" / "a.png")
    assert read_images(tmp_path / "photos").y.tolist() == ["cat", "dog"]


def test_the_order_decides_which_of_two_names_of_a_folder_is_its_class(tmp_path, monkeypatch):
    save(tmp_path / "b" / "a.png")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    scan_backwards(monkeypatch)
    assert read_images(tmp_path).y.tolist() == ["a"]


def test_links_to_nothing_and_to_themselves_are_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "none")
    assert refused(tmp_path) == f"there is no file {tmp_path / 'a.png'}: check the path"
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").symlink_to("a.png")
    assert refused(tmp_path).startswith(f"{tmp_path / 'a.png'} cannot be read: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert refused(tmp_path) == f"{tmp_path / 'a.png'} is not a regular file"


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 0)() == 0,
    reason="root may read every file; Windows has no modes",
)
def test_what_may_not_be_read_is_named(tmp_path):
    path = save(tmp_path / "cat" / "a.png")
    path.chmod(0)
    assert refused(tmp_path) == f"{path} cannot be read: Permission denied"
    path.parent.chmod(0)
    try:
        assert refused(tmp_path) == f"{path.parent} cannot be read: Permission denied"
    finally:
        path.parent.chmod(0o700)


def test_a_folder_that_is_named_like_a_picture_is_a_class(tmp_path):
    save(tmp_path / "a.png" / "b.png")
    assert read_images(tmp_path).y.tolist() == ["a.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no text")
def test_names_that_are_not_unicode(tmp_path):
    folder = os.fsencode(tmp_path)
    save(tmp_path / "a" / "a.png")
    os.rename(os.path.join(folder, b"a", b"a.png"), os.path.join(folder, b"a", b"\xff.png"))
    assert read_images(tmp_path).y.tolist() == ["a"]
    os.rename(os.path.join(folder, b"a"), os.path.join(folder, b"\xff"))
    assert refused(tmp_path) == (
        f"{tmp_path}/\\udcff: the name of a class must be Unicode: rename it"
    )


def test_an_enormous_folder_takes_the_memory_of_its_names(tmp_path, monkeypatch):
    n, taken = 20_000, 0

    def entries():
        nonlocal taken
        for taken in range(1, n + 1):
            name, no = f"{taken}.png", lambda: False
            yield SimpleNamespace(name=name, is_symlink=no, is_dir=no)

    monkeypatch.setattr(os, "scandir", lambda path: nullcontext(entries()))
    assert holds_images(tmp_path)
    assert taken == 1
    tracemalloc.start()
    try:
        paths, _ = listing._listed(tmp_path, [])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(paths) == n
    assert peak < 450 * n


# --- damage ---------------------------------------------------------------------------------------

AGAIN = "is damaged, or another kind of file: get it again"
DAMAGED = f"{AGAIN}, or move it out of the folder"


@pytest.mark.parametrize("size", [None, (2, 2)])
def test_pictures_that_cannot_be_read_are_counted_and_a_few_named(tmp_path, size):
    whole = save(tmp_path / "0.png").read_bytes()
    for i in range(1, 3):
        (tmp_path / f"{i}.png").write_bytes(whole[:50])  # its header can be read
    assert refused(tmp_path, size=size) == (
        f"{tmp_path / '1.png'} {AGAIN}; also unreadable: 2.png; 2 in all"
    )
    for i in range(3, 7):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    assert refused(tmp_path, size=size) == (
        f"{tmp_path / '3.png'} {AGAIN}; also unreadable: 4.png, 5.png, 6.png and 2 more; 6 in all"
    )
    for i in range(3):
        (tmp_path / f"{i}.png").unlink()
    assert refused(tmp_path, size=size) == (
        f"{tmp_path / '3.png'} {AGAIN}; also unreadable: 4.png, 5.png, 6.png; 4 in all"
    )


SEEDS = {
    "a.png": {}, "a.jpg": {}, "a.gif": {}, "a.bmp": {}, "a.webp": {"lossless": True},
    "a.tif": {}, "lzw.tif": {"compression": "tiff_lzw"}, "a.ppm": {},
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDS)
def test_every_truncation_is_refused_or_complete(tmp_path, name):
    path = save(tmp_path / name, COLOUR, **SEEDS[name])
    whole, X = path.read_bytes(), read_images(tmp_path).X
    refusals = 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        cut = outcome(tmp_path)
        if isinstance(cut, str):
            assert cut == f"{path} {DAMAGED}"
            refusals += 1
        else:  # only what follows the pixels is missing
            np.testing.assert_array_equal(cut, X)
    assert refusals > 0.7 * len(whole)


@pytest.mark.parametrize("name", SEEDS)
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("changed")
    path = save(folder / name, COLOUR, **SEEDS[name])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    X = outcome(folder, size=(2, 2), grey=True)
    if isinstance(X, str):
        assert X.startswith(f"{path} ")
        assert "\n" not in X
    else:
        assert X.shape == (1, 2, 2)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_other_content_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert refused(tmp_path) == f"{tmp_path / 'a.png'} {DAMAGED}"


def test_the_content_counts_and_not_the_ending(tmp_path):
    save(tmp_path / "a.jpg", GREY, format="PNG")
    np.testing.assert_array_equal(read_images(tmp_path).X[0], GREY)
    save(tmp_path / "a.jpg", Image.fromarray(GREY), format="ICO")  # of no format that is read
    assert refused(tmp_path) == f"{tmp_path / 'a.jpg'} {DAMAGED}"


def test_a_broken_picture_among_others_is_named(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "cat" / name)
    path = tmp_path / "cat" / "b.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert refused(tmp_path) == f"{path} {DAMAGED}"


@pytest.mark.parametrize("side", [10_000, 100_000, 2**31 - 1])
def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side))
    tracemalloc.start()
    try:
        message = refused(tmp_path, size=(8, 8))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 22
    assert message == (
        f"{tmp_path / 'a.png'} exceeds the limit of 89,478,485 pixels: make it smaller"
    )


def test_a_frame_beyond_the_canvas_of_a_gif_is_a_bomb_too(tmp_path):
    path = save(tmp_path / "a.gif")
    data = bytearray(path.read_bytes())
    at = data.index(b"\x2c\0\0\0\0")  # the descriptor of the frame: left, top, width, height
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert "the limit of 89,478,485 pixels" in refused(tmp_path)


def test_results_that_are_too_large_are_refused_from_the_headers(tmp_path, monkeypatch):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(9000, 9000, kind=2))
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "728999999")
    monkeypatch.setattr(read, "decoded", lambda *a, **k: pytest.fail("a picture was decoded"))
    assert refused(tmp_path) == (
        f"{tmp_path}: 3 pictures of 9000 x 9000 pixels take 729,000,000 bytes, more than "
        "memory or the limit of 728,999,999 allows: choose a smaller --size (size=), or set the "
        "environment variable SCRATCHVAE_MAX_BYTES"
    )


def test_memory_that_does_not_suffice_is_a_sentence(tmp_path, monkeypatch):
    save(tmp_path / "a.png")

    def empty(*args):
        raise MemoryError

    monkeypatch.setattr(np, "empty", empty)
    assert "1 pictures of 3 x 4 pixels take 12 bytes, more than memory or" in refused(tmp_path)


def test_a_palette_that_is_missing(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2, 2, bytes(6), kind=3))
    with pytest.raises(DataError, match=r"a.png is damaged, or another kind of file"):
        read_images(tmp_path)


def test_memory_that_a_damaged_file_asks_for_is_a_sentence(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png")

    def opened(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", opened)
    assert refused(tmp_path) == f"{path} {DAMAGED}"


def test_a_text_bomb_in_a_png_is_refused(tmp_path):
    text = b"key\0\0" + zlib.compress(bytes(1 << 23))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    (tmp_path / "a.png").write_bytes(png(1, 1, b"\0\x07", before=chunk))
    assert refused(tmp_path) == f"{tmp_path / 'a.png'} {DAMAGED}"


def test_an_endless_chain_of_tiff_directories_is_not_followed(tmp_path):
    path = save(tmp_path / "a.tif")
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    end = start + 2 + 12 * count
    data[end : end + 4] = data[4:8]  # the next directory is the first
    path.write_bytes(data)
    np.testing.assert_array_equal(read_images(tmp_path).X[0], GREY)
    data[start : start + 2] = b"\xff\xff"  # 65,535 entries
    path.write_bytes(data)
    np.testing.assert_array_equal(read_images(tmp_path).X[0], GREY)


def test_warnings_of_pillow_about_metadata_are_silenced(tmp_path):
    save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01")
    with Image.open(tmp_path / "a.png") as image, pytest.warns(UserWarning, match="EXIF"):
        image.getexif()
    np.testing.assert_array_equal(read_images(tmp_path).X[0], GREY)


def test_of_two_threads_that_read_at_once_the_filters_of_warnings_outlast_both(tmp_path):
    path, before = str(save(tmp_path / "a.png")), list(warnings.filters)
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def first():
        with picture.opened(path):
            first_is_in.set()
            assert second_is_in.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(60)
    with picture.opened(path):
        second_is_in.set()
        thread.join()
        warnings.warn("of a library that reads a picture", stacklevel=1)  # not shown
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="shown again"):
        warnings.warn("shown again", stacklevel=1)


# --- the terminal, memory, imports ----------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_many_pictures_show_a_progress_bar_on_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MANY", 3)
    for i in range(3):
        save(tmp_path / f"{i}.png")
    for verbose, stream, shown in (
        (True, Terminal(), True),
        (False, Terminal(), False),
        (True, io.StringIO(), False),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        read_images(tmp_path, verbose=verbose)
        assert ("reading headers" in stream.getvalue()) is shown
        assert ("reading pictures" in stream.getvalue()) is shown
        assert ("0/3" in stream.getvalue()) is shown
    (tmp_path / "2.png").unlink()
    monkeypatch.setattr(sys, "stderr", Terminal())
    read_images(tmp_path, verbose=True)
    assert sys.stderr.getvalue() == ""


def test_memory_stays_that_of_the_result(tmp_path):
    for i in range(60):
        save(tmp_path / f"{i}.png", np.full((100, 100), i, np.uint8))
    read_images(tmp_path)  # Pillow's plug-ins are imported now
    tracemalloc.start()
    try:
        X = read_images(tmp_path).X
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert X.nbytes == 600_000
    assert peak < 1.4 * X.nbytes


def test_no_file_stays_open(tmp_path):
    for name in SEEDS:
        save(tmp_path / name, COLOUR, **SEEDS[name])
    (tmp_path / "z.png").write_bytes(b"damaged")
    before = len(os.listdir("/dev/fd"))
    refused(tmp_path)
    (tmp_path / "z.png").unlink()
    read_images(tmp_path)
    assert len(os.listdir("/dev/fd")) == before


def test_pillow_is_imported_only_to_read_pictures():
    code = "import scratchvae.data.images, sys; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
