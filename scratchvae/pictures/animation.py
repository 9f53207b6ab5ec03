"""Animations, as GIFs: matplotlib draws the frames and Pillow writes them.

Static parts are drawn once. All frames share one small palette, so that nothing flickers and files
stay small.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ..files.atomic import write_atomically
from .plots import (
    DARK,
    LIGHT,
    LOSSES,
    MIDDLE,
    hide_spines,
    set_title,
    show_image,
)
from .tiles import grid, per_row, stacked

Frames = tuple[list[Image.Image], list[int]]  # the images, and how many milliseconds each lasts

DPI, MARGIN, HEAD = 100, 14, 34  # margin and height of the title in pixels
LASTING, SHORTEST, LONGEST, STAY = 6000, 100, 600, 2500  # ms: training, its frames, its last frame
STEP, TURN = 80, 800  # ms: a step of an interpolation, and either end of it
SHADES = 16  # of each colour, white included
PIXELS = 20_000  # most pixels, evenly spaced, that choose the palette of colour images


def _palette(tables: Sequence[np.ndarray]) -> Image.Image:
    """An image with the palette of all frames: shades from white to black and to each colour.

    For colour images, the rest of the 256 are the colours that represent all pixels best.
    """
    shades = np.linspace(1, 0, SHADES)[:, None]
    ramps = [shades + (1 - shades) * to_rgb(colour) for colour in ("black", DARK, MIDDLE, LIGHT)]
    # no pale shades of a colour: Pillow compares six bits a channel and would tint greys with them
    colours = np.concatenate((ramps[0], *(ramp[SHADES // 3 :] for ramp in ramps[1:])))
    palette = np.rint(255 * colours).astype(np.uint8)
    if tables[0].ndim == 3:
        pixels = np.concatenate(tables).reshape(1, -1, 3)
        pixels = np.rint(255 * pixels[:, :: -(-pixels.shape[1] // PIXELS)]).astype(np.uint8)
        most = 256 - len(palette)
        found = Image.fromarray(pixels).quantize(most, Image.Quantize.MAXCOVERAGE, kmeans=1)
        more = np.array(found.getpalette()).reshape(-1, 3)
        more = more[more.min(axis=1) < 245]  # for the same reason
        palette = np.concatenate((palette, more[:most]))
    image = Image.new("P", (1, 1))
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def _shots(
    figure: Figure, moving: Sequence[Artist], update: Callable[[Any], Any], frames: Iterable[Any],
    tables: Sequence[np.ndarray],
) -> list[Image.Image]:  # fmt: skip
    """The figure after `update` for each frame, which changes only the moving artists.

    tables are the pixels that are shown.
    """
    canvas, shots, palette = FigureCanvasAgg(figure), [], _palette(tables)
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    for frame in frames:
        update(frame)
        canvas.restore_region(still)
        for artist in moving:
            artist.draw(canvas.get_renderer())
        shot = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        shots.append(shot.quantize(palette=palette, dither=Image.Dither.NONE))
    return shots


def _stage(width: int, height: int) -> Figure:
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI)


def _axes(figure: Figure, x: int, y: int, width: int, height: int) -> Axes:
    """Axes placed in pixels, from the lower left corner of the figure."""
    W, H = figure.bbox.size
    return figure.add_axes((x / W, y / H, width / W, height / H))


def _size(table: np.ndarray, room: int) -> tuple[int, int]:
    """Height and width on the screen: up to four times the table's, if that fits `room`."""
    height, width = table.shape[:2]
    scale = max(1, min(4, room // max(height, width)))
    return scale * height, scale * width


def training(
    epochs: Sequence[int], frames: Any, history: Sequence[Mapping[str, float]],
    columns: int, loss_name: str,
) -> Frames:  # fmt: skip
    """Latent points decoded after each of these epochs, beside the loss.

    frames (F,n,H,W) or (F,n,H,W,3), uint8
    """
    tables = [grid(frame / 255, columns) for frame in np.asarray(frames)]
    height, width = _size(tables[0], 600)
    curve = max(300, height)
    top = max(height, 240) + 2 * MARGIN
    figure = _stage(3 * MARGIN + width + curve + 56, top + HEAD)
    left = _axes(figure, MARGIN, top - MARGIN - height, width, height)
    picture = show_image(left, tables[0], aspect="auto")
    left.set_axis_off()
    label = set_title(left, "")
    right = _axes(figure, 2 * MARGIN + width + 56, 46, curve, top - MARGIN - 46)
    lines = _curves(right, history, loss_name)

    def update(frame: tuple[np.ndarray, int]) -> None:
        table, epoch = frame
        picture.set_data(table)
        label.set_text(f"the same latent points, epoch {epoch}")
        for line, values in lines:
            line.set_data(np.arange(1, epoch + 1), values[:epoch])
            line.set_markevery([epoch - 1] if epoch else [])

    moving = [picture, label, *(line for line, _ in lines)]
    shots = _shots(figure, moving, update, zip(tables, epochs, strict=True), tables)
    each = round(min(LONGEST, max(SHORTEST, LASTING / len(shots))), -1)
    return shots, [int(each)] * (len(shots) - 1) + [STAY]


def _curves(axes: Axes, history: Sequence[Mapping[str, float]], loss_name: str) -> list[Any]:
    """Prepare axes for the loss of both splits; returns the empty lines and the values of each."""
    lines = []
    for name, (label, style, colour) in LOSSES.items():
        values = np.array([record[name] for record in history])
        if np.isfinite(values).any():
            (line,) = axes.plot([], [], style, color=colour, label=label, marker="o", ms=5)
            lines.append((line, values))
    every = np.concatenate([values[np.isfinite(values)] for _, values in lines])
    room = 0.05 * max(np.ptp(every), 1e-3)
    axes.set_xlim(0, len(history) + 0.5)
    axes.set_ylim(every.min() - room, every.max() + room)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    hide_spines(axes)
    axes.set_xlabel("epoch")
    set_title(axes, f"{loss_name}, nats per example")
    axes.legend(frameon=False, loc="upper right")
    return lines


def interpolation(first: Any, decoded: Any, second: Any, words: str) -> Frames:
    """The decoded codes from one example of a pair to the other and back, between the originals.

    first, second (N,H,W) or (N,H,W,3); decoded (N,S,H,W) or (N,S,H,W,3)
    """
    decoded = np.asarray(decoded)
    columns = min(len(first), per_row(np.asarray(first), 8))
    forth = list(range(decoded.shape[1]))
    order = forth + forth[-2:0:-1]
    tables = [stacked((first, decoded[:, i], second), columns) for i in forth]
    height, width = _size(tables[0], 640)
    beside = 74  # pixels for the names of the rows
    figure = _stage(max(width + beside + 2 * MARGIN, 440), height + HEAD + MARGIN)
    axes = _axes(figure, MARGIN + beside, MARGIN, width, height)
    picture = show_image(axes, tables[0], aspect="auto")
    hide_spines(axes, *axes.spines)
    axes.set_xticks([])
    names = ["from", "decoded", "to"] * ceil(len(first) / columns)
    cell = len(tables[0]) / len(names)
    axes.set_yticks((np.arange(len(names)) + 0.5) * cell - 0.5, names)
    axes.tick_params(length=0, labelsize=10, labelcolor=DARK)
    W, H = figure.bbox.size
    figure.text(MARGIN / W, 1 - (HEAD - 12) / H, words, fontsize=11, color=DARK)
    stays = [TURN if i in (0, forth[-1]) else STEP for i in order]
    frames = [tables[i] for i in order]
    return _shots(figure, [picture], picture.set_data, frames, tables), stays


def save_animation(frames: Frames, path: Path) -> None:
    """Write a GIF that loops, whole or not at all; its frames must share one palette.

    With `optimize`, Pillow stores pixels that do not change as transparent.
    """
    (first, *others), milliseconds = frames
    write_atomically(path, lambda f: first.save(
        f, format="GIF", save_all=True, append_images=others, duration=milliseconds, loop=0,
        optimize=True, palette=bytes(first.getpalette() or []),
    ))  # fmt: skip
