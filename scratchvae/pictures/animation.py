"""Animations of a run, as GIFs: pictures drawn by matplotlib, written by Pillow.

What stands still is drawn once. All frames have one palette of few colours, so nothing flickers and
the files stay small.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from .plots import DARK, LIGHT, MIDDLE, grid

Frames = tuple[list[Image.Image], list[int]]  # and how long each is shown, in milliseconds

DPI, MARGIN, HEAD = 100, 14, 34  # of the figures; of a margin and a title, in pixels
LASTING, SHORTEST, LONGEST, STAY = 6000, 100, 600, 2500  # ms: of a film, its frames, its last one
STEP, TURN = 80, 800  # ms: a step of an interpolation, and an end of it
SHADES = 16  # from white to each colour


def _palette() -> tuple[np.ndarray, np.ndarray]:
    """The colours of all frames, (C,3) bytes; and the nearest to each of 32 x 32 x 32, (32768,)"""
    shades = np.linspace(1, 0, SHADES)[:, None]
    ramps = [shades + (1 - shades) * to_rgb(colour) for colour in ("black", DARK, MIDDLE, LIGHT)]
    colours = np.concatenate((ramps[0], *(ramp[1:] for ramp in ramps[1:]))).astype(np.float32)
    axis = np.linspace(0, 1, 32, dtype=np.float32)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    far = (every**2).sum(axis=1, keepdims=True) - 2 * every @ colours.T + (colours**2).sum(axis=1)
    return np.rint(255 * colours).astype(np.uint8), far.argmin(axis=1).astype(np.uint8)


def _shots(
    figure: Figure, moving: Sequence[Artist], steps: Iterable[Callable[[], Any]]
) -> list[Image.Image]:
    """The figure after each step, in which only the moving artists change."""
    canvas, shots = FigureCanvasAgg(figure), []
    colours, nearest = _palette()
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    for step in steps:
        step()
        canvas.restore_region(still)
        for artist in moving:
            artist.draw(canvas.get_renderer())
        r, g, b, _ = np.moveaxis(np.asarray(canvas.buffer_rgba()) >> 3, 2, 0).astype(np.uint16)
        shot = Image.fromarray(nearest[(r << 10) + (g << 5) + b], mode="P")
        shot.putpalette(colours.tobytes())
        shots.append(shot)
    return shots


def _stage(width: int, height: int) -> Figure:
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI)


def _axes(figure: Figure, x: int, y: int, width: int, height: int) -> Axes:
    """Axes at pixels of the figure, from its lower left."""
    W, H = figure.get_size_inches() * DPI
    return figure.add_axes((x / W, y / H, width / W, height / H))


def _scale(table: np.ndarray, room: int) -> int:
    """How many pixels a side a pixel of the table may take."""
    return max(1, min(4, room // max(table.shape)))


def training(
    epochs: Sequence[int], frames: Any, history: Sequence[Mapping[str, float]],
    columns: int, loss_name: str,
) -> Frames:  # fmt: skip
    """The same latent points (F,n,D), bytes, decoded after so many epochs; the loss beside them."""
    tables = [grid(frame / 255, columns) for frame in np.asarray(frames)]
    scale = _scale(tables[0], 600)
    height, width = (scale * side for side in tables[0].shape)
    curve = max(300, height)
    figure = _stage(3 * MARGIN + width + curve + 56, max(height, 240) + HEAD + 2 * MARGIN)
    top = max(height, 240) + 2 * MARGIN
    left = _axes(figure, MARGIN, top - MARGIN - height, width, height)
    picture = left.imshow(
        tables[0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", aspect="auto"
    )
    left.set_axis_off()
    said = left.text(
        0, 1 + 8.3 / height, "", transform=left.transAxes, fontsize=11, color=DARK, va="baseline"
    )
    right = _axes(figure, 2 * MARGIN + width + 56, 46, curve, top - MARGIN - 46)
    lines = _curves(right, history, loss_name)

    def step(table: np.ndarray, epoch: int) -> None:
        picture.set_data(table)
        said.set_text(f"the same latent points, epoch {epoch}")
        for line, values in lines:
            line.set_data(np.arange(1, epoch + 1), values[:epoch])
            line.set_markevery([epoch - 1] if epoch else [])

    moving = [picture, said, *(line for line, _ in lines)]
    steps = [
        lambda table=table, epoch=epoch: step(table, epoch)
        for table, epoch in zip(tables, epochs, strict=True)
    ]
    shots = _shots(figure, moving, steps)
    each = round(min(LONGEST, max(SHORTEST, LASTING / len(shots))), -1)
    return shots, [int(each)] * (len(shots) - 1) + [STAY]


def _curves(axes: Axes, history: Sequence[Mapping[str, float]], loss_name: str) -> list[Any]:
    """Axes for the losses of both splits, as yet without them: lines, and the values of each."""
    lines = []
    for name, label, style, colour in (
        ("train_loss", "train", "--", LIGHT),
        ("test_loss", "test", "-", DARK),
    ):
        values = np.array([record[name] for record in history])
        if np.isfinite(values).any():
            (line,) = axes.plot([], [], style, color=colour, label=label, marker="o", ms=5)
            lines.append((line, values))
    every = np.concatenate([values[np.isfinite(values)] for _, values in lines])
    room = 0.05 * max(np.ptp(every), 1e-3)
    axes.set_xlim(0, len(history) + 0.5)
    axes.set_ylim(every.min() - room, every.max() + room)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("epoch")
    axes.set_title(f"{loss_name}, nats per example", fontsize=11, loc="left", color=DARK)
    axes.legend(frameon=False, loc="upper right")
    return lines


def interpolation(first: Any, decoded: Any, second: Any, words: str) -> Frames:
    """Each pair's codes decoded from the one to the other, and back; its originals at both ends.

    first, second (N,D) in [0, 1]; decoded (N,S,D)
    """
    first, decoded, second = (np.asarray(a, dtype=float) for a in (first, decoded, second))
    n, columns = len(first), min(8, len(first))

    def table(step: int) -> np.ndarray:
        rows = []
        for start in range(0, n, columns):
            for images in (first, decoded[:, step], second):
                row = np.zeros((columns, images.shape[1]))
                row[: len(images[start : start + columns])] = images[start : start + columns]
                rows.append(row)
        return grid(np.concatenate(rows), columns)

    forth = list(range(decoded.shape[1]))
    order = forth + forth[-2:0:-1]
    tables = [table(step) for step in forth]
    scale = _scale(tables[0], 640)
    height, width = (scale * side for side in tables[0].shape)
    names = 74  # pixels at the left
    figure = _stage(max(width + names + 2 * MARGIN, 440), height + HEAD + MARGIN)
    axes = _axes(figure, MARGIN + names, MARGIN, width, height)
    picture = axes.imshow(
        tables[0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", aspect="auto"
    )
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    rows = 3 * -(-n // columns)
    cell = len(tables[0]) / rows
    axes.set_yticks((np.arange(rows) + 0.5) * cell - 0.5, ["from", "decoded", "to"] * (rows // 3))
    axes.tick_params(length=0, labelsize=10, labelcolor=DARK)
    at = 1 - (HEAD - 12) / (height + HEAD + MARGIN)
    figure.text(MARGIN / (figure.get_size_inches()[0] * DPI), at, words, fontsize=11, color=DARK)
    steps = [lambda i=i: picture.set_data(tables[i]) for i in order]
    stays = [TURN if i in (0, forth[-1]) else STEP for i in order]
    return _shots(figure, [picture], steps), stays


def write_gif(f: IO[bytes], frames: Sequence[Image.Image], milliseconds: Sequence[int]) -> None:
    """A GIF that loops; all frames must have one palette, which is written once, as it is.

    What stays from one frame to the next is transparent there, which Pillow does if it optimizes.
    """
    frames[0].save(
        f, format="GIF", save_all=True, append_images=frames[1:], duration=list(milliseconds),
        loop=0, optimize=True, palette=bytes(frames[0].getpalette() or []),
    )  # fmt: skip
