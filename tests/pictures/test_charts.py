"""Charts: bars and dots are at the right positions, and failures are marked."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from support.command_line import refused

from scratchvae import cli
from scratchvae.gradcheck.report import FAIL, INCONCLUSIVE, KINK, Leaf, Report
from scratchvae.pictures import plots
from scratchvae.pictures.plots import DARK, LIGHT, MIDDLE
from scratchvae.verify import chart
from scratchvae.verify import table as verify


def rendered(figure):
    FigureCanvasAgg(figure).draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_the_bars_are_sorted_and_the_active_units_marked():
    kl, active = np.array([0.5, 0.001, 2.0, 0.02]), np.array([True, False, True, False])
    figure = plots.unit_kl(kl, active)
    assert rendered(figure).std() > 5
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [2.0, 0.5, 0.02, 0.001]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "0", "3", "1"]
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False, False, True, True]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches][1:3] == [DARK, "#ffffff"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "2 active", "2 not active"
    ]  # fmt: skip
    assert axes.get_title(loc="left") == "KL of each latent unit; 2.52 nats together"


@pytest.mark.parametrize("n", [1, 24, 40, 200])
def test_any_number_of_units_has_legible_marks(n, rng):
    figure = plots.unit_kl(rng.random(n), np.ones(n, dtype=bool))
    assert rendered(figure).std() > 5
    (axes,) = figure.axes
    assert len(axes.patches) == n
    (text,) = axes.get_legend().get_texts()
    assert text.get_text() == f"{n} active"
    marks = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
    marks.sort(key=lambda box: box.x0)
    assert all(a.x1 < b.x0 for a, b in pairwise(marks))


def dots(axes, marker):
    return [
        (line.get_xdata()[0], line.get_ydata()[0], to_hex(line.get_color()))
        for line in axes.lines
        if line.get_marker() == marker
    ]


def test_each_gradient_has_its_error_and_its_resolution():
    reports = [
        ("one", Report("one", (Leaf("x", "PASS", 2e-13, 3e-10), Leaf("W", KINK, 0.0, 1e-9)))),
        ("two", Report("two", (Leaf("x", FAIL, 0.5, 1e-9), Leaf("b", INCONCLUSIVE)))),
        ("none", Report("none", violations=("it raises TypeError",))),
    ]
    figure = chart.gradient_errors(reports)
    assert rendered(figure).std() > 5
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "one",
        "two, db INCONCLUSIVE",
        "none, CONTRACT",
    ]
    (first, second), (wrong,) = dots(axes, "o"), dots(axes, "X")
    assert first[0] == 2e-13
    assert second[0] == 1e-18  # shown as 0
    assert axes.get_xticklabels()[0].get_text() == "0"
    assert first[2] == second[2] == DARK
    assert (wrong[0], wrong[2]) == (0.5, MIDDLE)
    assert [x for x, _, colour in dots(axes, "|") if colour == LIGHT] == [3e-10, 1e-9, 1e-9]
    assert [round(y) for _, y, _ in dots(axes, "|")] == [0, 0, 1]
    low, high = axes.get_xlim()
    assert low < 1e-18
    assert high > 0.5
    assert axes.get_title(loc="left") == "2 of 4 gradients passed"
    (legend,) = figure.legends
    assert "did not pass" in [text.get_text() for text in legend.get_texts()]


def test_verify_draws_what_it_found(tmp_path, monkeypatch, capsys):
    seen, original = [], chart.gradient_errors
    monkeypatch.setattr(chart, "gradient_errors", lambda r: (seen.append(r), original(r))[1])
    monkeypatch.setattr(verify, "SUBJECTS", {"vae": verify.SUBJECTS["vae"]})
    assert cli.main(["verify", "-v", "-o", str(tmp_path / "g.png")]) == 0
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert out.endswith(f"{tmp_path / 'g.png'}\n")
    ((*_, (name, report)),) = seen
    assert name == "vae"
    assert len(seen[0]) == len(verify.OPS) + 1
    for leaf in report.leaves:
        assert f"{leaf.error:8.1e} {leaf.resolution:10.1e}" in out


OWN = """
import numpy as np

def double(x):
    return 2 * x

def double_backward(dy):
    return {} * dy

def inputs_double():
    return {{"x": np.ones((2, 3))}}
"""


@pytest.mark.parametrize(("factor", "code", "title"), [(2, 0, "1 of 1"), (3, 1, "0 of 1")])
def test_the_gradients_of_a_file_are_drawn_too(factor, code, title, tmp_path, monkeypatch):
    seen, original = [], chart.gradient_errors
    monkeypatch.setattr(chart, "gradient_errors", lambda r: seen.append(original(r)) or seen[0])
    (tmp_path / "own.py").write_text(OWN.format(factor))
    argv = ["verify", str(tmp_path / "own.py"), "-o", str(tmp_path / "g.svg")]
    assert cli.main(argv) == code
    assert (tmp_path / "g.svg").exists()
    assert seen[0].axes[0].get_title(loc="left").startswith(f"{title} gradients")


def test_what_verify_refuses_to_draw(tmp_path, capsys):
    refused(capsys, ["verify", "-o", tmp_path / "g.npy"], "must end in .png, .svg, or .pdf")
    refused(capsys, ["verify", "--teeth", "-o", tmp_path / "g.png"], "--teeth draws nothing")
    assert not list(tmp_path.iterdir())
