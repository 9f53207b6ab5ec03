"""The documents: their Python code runs, their commands and links exist."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scratchvae import cli
from scratchvae.backend.registry import OPS
from scratchvae.cli.parser import parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
SHOWN_CODE = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "_site" / "shown_code.py")))
RECIPE_TOOLS = ROOT / "examples" / "recipes" / "recipe_tools.py"


def blocks(language):
    return [
        pytest.param(text, id=f"{page.name}-{i}")
        for page in PAGES
        for i, text in enumerate(
            re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
        )
    ]


def shorter(code):
    """With at most 3 epochs, and 2 scores where 10 are compared."""
    code = re.sub(r"(epochs[= ])(\d+)", lambda m: f"{m[1]}{min(3, int(m[2]))}", code)
    return code.replace("seed in range(10)", "seed in range(2)")


IN_TURN = ("images.md", "tables.md", "nightly.md")  # guides whose blocks need those before them


@pytest.mark.parametrize(
    "code",
    [
        block
        for block in blocks("python")
        if "backward_of" not in block.values[0] and not block.id.startswith(IN_TURN)
    ],
)
def test_the_python_of_the_documents_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "m2.score(" not in code:  # its result is looked at
        code = shorter(code)
    for package in ("sklearn", "torch", "jax"):
        if f"import {package}" in code or f"from {package}" in code:
            pytest.importorskip(package, reason=f"{package} is not installed")
    names = {}
    exec(compile(code, "document", "exec"), names)
    out = capsys.readouterr().out
    if "wrong: the sum should" in code:
        assert f"```text\n{out}```" in (ROOT / "README.md").read_text()
    if "m2.score(" in code:
        assert names["m2"].classes_.tolist() == list(range(10))
        assert names["m2"].score(names["X"][2000:], names["y"][2000:]) > 0.8
    if "ThreadingHTTPServer" in code:
        assert out == "True\n"
    if "mutation_score(" in code:
        assert out in code_and_output("gradient_checks.md")


def code_and_output(name):
    """A page, with its indented blocks as they would be printed."""
    return re.sub(r"^    ", "", (ROOT / "docs" / name).read_text(), flags=re.MULTILINE)


def test_the_op_of_the_contributing_guide_is_right():
    """The guide's own example, taken from its text, against differences."""
    from scratchvae import ops
    from scratchvae.gradcheck import check_op

    text = (ROOT / "CONTRIBUTING.md").read_text()
    code = "\n".join(
        line[3:] for line in re.search(r"```python\n(.*?)```", text, re.DOTALL)[1].split("\n")
    )
    before = dict(OPS)
    try:
        exec(code, vars(ops).copy())
        assert check_op("cube").error < 1e-7
    finally:
        OPS.clear()
        OPS.update(before)


@pytest.mark.parametrize("text", blocks("sh"))
def test_the_commands_of_the_documents_exist(text):
    makefile = (ROOT / "Makefile").read_text()
    for line in text.splitlines():
        for command in line.split("#")[0].split(";"):
            words = shlex.split(command)
            if words and words[0].endswith("scratchvae"):
                parser().parse_args(words[1:])
            elif words and words[0] == "make":
                assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command


@pytest.fixture
def follow(tmp_path, monkeypatch, capsys):
    """A function that runs the blocks of a guide in turn: what each command prints."""
    monkeypatch.chdir(tmp_path)

    def call(line):
        words = shlex.split(line.split("&&")[-1])
        assert words[0] == "scratchvae"
        assert cli.main(words[1:]) == 0, line
        return capsys.readouterr().out

    def run(name, change=str):
        said = []
        text = change((ROOT / "docs" / "guides" / name).read_text())
        for language, code in re.findall(r"```(python|sh)\n(.*?)```", text, re.DOTALL):
            needs_pandas = "pandas" in code or "as_frame" in code
            if language == "python" and needs_pandas and not find_spec("pandas"):
                continue
            if language == "python":
                exec(compile(code, name, "exec"), {})
                said.append(capsys.readouterr().out)
            else:
                said += map(call, code.splitlines())
        return said, text, call

    return run


def rows_of(path):
    return [line.split(",") for line in Path(path).read_text().splitlines()]


def test_the_nightly_guide_does_what_it_says(follow):
    """Its blocks in turn, and then its script, in two nights."""
    said, text, _ = follow("nightly.md")
    assert "a score above" in said[2]
    assert "starting from the parameters of" in said[4]
    rows = rows_of("scores.csv")
    assert rows[0] == ["row", "score", "anomaly"]
    assert [row[0] for row in rows[1:]] == [str(i) for i in range(100)]
    marked = [int(row[0]) for row in rows if row[2] == "1"]
    assert {95, 96, 97, 98, 99} <= set(marked)
    assert len(marked) <= 8
    assert len(rows_of("codes.csv")) == 101
    script = re.search(r"```text\n(.*?)```", text, re.DOTALL)[1]
    for night in (1, 2):
        tool = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        for _ in range(2):  # the second time, there is nothing left to do
            subprocess.run(["/bin/sh", "-c", script], check=True, env=os.environ | tool)
            np.save("readings.npy", np.load("readings.npy")[::-1])  # between a stop and a restart
        today = max(path.name for path in Path("runs").glob("20??-??-??"))  # as the script saw it
        assert len(rows_of(f"scores-{today}.csv")) == 101
        if night == 1:
            Path(f"runs/{today}").rename("runs/2020-01-01")
            Path(f"runs/{today}.npy").rename("runs/2020-01-01.npy")
            Path("runs/2020-01-02").mkdir()  # left by a crash
            Path("runs/2020-01-03-old").mkdir()
            np.save("readings.npy", np.load("grown.npy"))
    about = json.loads(Path(f"runs/{today}/config.json").read_text())
    assert about["init_from"].endswith("2020-01-01")


def test_the_guide_to_pictures_does_what_it_says(follow):
    follow("images.md", shorter)
    rows = rows_of("scores.csv")
    assert rows[0] == ["row", "score", "anomaly", "label", "file"]
    assert len(rows) == 61
    assert len(rows_of("codes.csv")) == 61
    assert Path("runs/photos/samples.png").exists()
    assert Path("runs/photos/explorer.html").stat().st_size > 10_000


def test_the_guide_to_tables_does_what_it_says(follow):
    said, _, _ = follow("tables.md")
    if find_spec("pandas"):
        assert said[-3] == "[ True]\n"
        assert said[-2].strip() == rows_of("new_scores.csv")[1][1]
    assert len(rows_of("scores.csv")) == 1201
    assert len(rows_of("reconstructed.csv")) == 51
    assert rows_of("synthetic.csv")[0] == ["height_cm", "leaves", "petal_mm", "stem_mm"]
    assert len(rows_of("synthetic.csv")) == 501


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files_that_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


PLACEHOLDER = re.compile(r"\bM2[A-Z]{3,}|\b(?:TODO|FIXME|TBD|XXX)\b")


def placeholders(text):
    return PLACEHOLDER.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_number_is_still_to_be_filled_in(page):
    assert placeholders(page.read_text()) == []


def test_placeholders_are_found():
    assert placeholders("| M2 | M2PIXELS3 | M2CODES % TODO: M1+M2, `examples/recipes/m2.py`") == [
        *("M2PIXELS", "M2CODES", "TODO")
    ]


def absent_images(page):
    """The pictures that a page names, in a link or a command, and that are not there."""
    named = re.findall(r"[\w./-]+\.(?:png|gif|svg|jpg)\b", page.read_text())
    inside = [name for name in named if name.startswith(("images/", "docs/images/"))]
    return [name for name in inside if not (ROOT / "docs" / name.removeprefix("docs/")).exists()]


def test_the_images_of_the_results_exist(tmp_path):
    assert absent_images(ROOT / "docs" / "results.md") == []
    (tmp_path / "page.md").write_text("![x](images/no.png) `--out docs/images/none.gif`")
    assert absent_images(tmp_path / "page.md") == ["images/no.png", "docs/images/none.gif"]


DERIVATIONS = {page.stem: page for page in ROOT.glob("docs/ops/*.md") if page.stem != "index"}


def without_a_page(ops):
    """Ops that nobody has derived, and pages of ops that are no more."""
    return set(ops) ^ set(DERIVATIONS)


def test_every_op_has_its_page():
    assert without_a_page(OPS) == set()
    index = (ROOT / "docs" / "ops" / "index.md").read_text()
    assert {name for name in OPS if f"]({name}.md)" not in index} == set()


def test_an_op_without_a_page_is_noticed():
    assert without_a_page({**OPS, "cube": None}) == {"cube"}
    assert without_a_page(set(OPS) - {"linear"}) == {"linear"}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_a_page_shows_the_code_of_its_op_and_checks_it(name):
    text = DERIVATIONS[name].read_text()
    shown = {f: path for _, path, f in SHOWN_CODE.SHOWN.findall(text)}
    assert {name, f"{name}_backward"} <= set(shown)
    assert all(f"]({path})" in text for path in shown.values())
    assert f'check_op("{name}").raise_if_failed()' in text


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_shown_code_is_that_of_its_source(page):
    """After a change of the source: python docs/_site/shown_code.py."""
    text = page.read_text()
    assert text.count("<!-- code:") == len(SHOWN_CODE.SHOWN.findall(text))
    assert SHOWN_CODE.updated(page) == text


def formulas(text):
    """What stands between dollars, outside of code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    text = re.sub(r"^    .*", "", text, flags=re.MULTILINE)
    assert text.count("$") % 2 == 0
    return re.findall(r"(?<!\\)\$\$?([^$]+)\$\$?", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_formulas_survive_markdown(page):
    """Markdown eats a backslash before punctuation, and makes emphasis of some underscores."""
    for formula in formulas(page.read_text()):
        assert not re.search(r"\\[^a-zA-Z]|[^\w\s]_|\*", formula), formula


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 150


def test_the_contributing_guide_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 60


EPOCHS = {"anomalies": 10, "train_on_digits": 2, "digits_on_demand": 2}  # 1 for the others
SAYS = {
    "anomalies": "AUROC",
    "check_your_gradient": "RightLayerNorm: PASS",
    "compare_with_pytorch": "nats per example",
    "digits_on_demand": "same_hand.png",
    "few_labels": "100 labels",
    "interpolation_gif": "80 frames",
    "numpy_against_cupy": "CuPy:",
    "train_on_digits": "no --mnist DIR was given",
    "vae_from_scratch": "backward and finite differences differ by",
    "wrong_gradient": "gradients FAIL",
}


def test_each_example_is_named_here():
    assert {path.stem for path in EXAMPLES} == SAYS.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_run(path, tmp_path, monkeypatch, capsys):
    """In a folder of their own, in which they leave nothing that was not asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
    text = path.read_text()
    epochs = str(EPOCHS.get(path.stem, 1))
    shorter = ["--epochs", epochs] if '"--epochs"' in text else []
    monkeypatch.setattr(sys, "argv", [path.name, *shorter])
    names = runpy.run_path(str(path), run_name="__main__")
    out, _ = capsys.readouterr()
    assert SAYS[path.stem] in out
    assert [p.name for p in tmp_path.iterdir()] == ["temporary"]
    written = [p for p in (tmp_path / "temporary").rglob("*") if p.is_file()]
    for p in written:
        assert str(p) in out, "what was written is named"
    if "--out" in text:
        assert written
        asked = written[0] if path.stem == "interpolation_gif" else written[0].parent
        again = [path.name, "--epochs", "1", "--out", str(asked)]
        monkeypatch.setattr(sys, "argv", again)
        with pytest.raises((FileExistsError, SystemExit)):
            runpy.run_path(str(path), run_name="__main__")
    if path.stem == "anomalies":
        assert names["roc_auc"](names["scores"], names["unseen"]) > 0.8


def test_the_example_with_a_gpu_goes_on_to_compare(double, monkeypatch, capsys):
    """On the double of CuPy, whose numbers are the same ones."""
    path = ROOT / "examples" / "numpy_against_cupy.py"
    monkeypatch.setattr(sys, "argv", [path.name, "--epochs", "1"])
    runpy.run_path(str(path), run_name="__main__")
    out = capsys.readouterr().out
    assert re.search(r"NumPy: test loss \d+\.\d+, an epoch in", out)
    assert re.search(r"CuPy:  test loss \d+\.\d+, an epoch in", out)
    assert re.search(r"differ\nby 0.0e\+00 on average, with mean size \d", out)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_are_short(path):
    """A VAE that needs no other file is 110 lines of code, and half as many around them."""
    lines = len(path.read_text().splitlines())
    assert lines <= (170 if path.stem == "vae_from_scratch" else 60)


@pytest.mark.parametrize(
    "path",
    sorted(set((ROOT / "examples" / "recipes").glob("*.py")) - {RECIPE_TOOLS}),
    ids=lambda p: p.name,
)
def test_a_recipe_says_how_it_is_called(path, monkeypatch, capsys):
    """They need real MNIST and minutes, so here they only have to begin; ppca.py has no options."""
    text = path.read_text()
    assert f"python examples/recipes/{path.name}" in text
    assert f"examples/recipes/{path.name}" in (ROOT / "docs" / "results.md").read_text()
    if "argparse" in text:
        monkeypatch.syspath_prepend(path.parent)  # as for a script
        monkeypatch.setattr(sys, "argv", [path.name, "--help"])
        with pytest.raises(SystemExit) as exit_code:
            runpy.run_path(str(path), run_name="__main__")
        assert exit_code.value.code == 0


# ------------------------------------------------------------- guides, and pages with a picture

MAKER = ROOT / "docs" / "pictures" / "make.py"
UNDERSTAND = sorted((ROOT / "docs" / "understand").glob("*.md"))


def test_guides_and_pages_are_short():
    guides = sorted((ROOT / "docs" / "guides").glob("*.md"))
    assert len(guides) >= 7
    assert len(UNDERSTAND) == 8
    for pages, least, most in ((guides, 25, 110), (UNDERSTAND, 30, 70)):
        for page in pages:
            text = SHOWN_CODE.SHOWN.sub("", page.read_text())
            most = 110 if page.stem == "from_scratch" else most  # it walks through a whole program
            assert least <= len(text.splitlines()) <= most, page


def made(name, folder, monkeypatch, capsys):
    """What the maker of a picture prints, and the file; training is cut short."""
    argv = [MAKER.name, name, "--out", str(folder), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", argv)
    runpy.run_path(str(MAKER), run_name="__main__")
    return capsys.readouterr().out, folder / f"{name}.png"


def verdicts(page, out):
    """Of each bug of the blind spots, two columns of the page, and what its maker prints."""
    table = [line.strip("| ").split("|") for line in page.splitlines() if line.startswith("|")]
    lines = re.findall(r"^(.+): test ELBO [^;]+; (.+)$", out, re.MULTILINE)
    told = {row[0].strip().replace("`", ""): "|".join(row[2:4]).strip() for row in table}
    found = {}
    for name, names in lines:
        meaning = any(check in names for check in ("spread", "KL by Monte Carlo", "-log p(x|z)"))
        failed = ("denc0_W" in names, meaning)
        found[name] = " | ".join("**FAIL**" if bad else "pass" for bad in failed)
    return told, found


@pytest.mark.parametrize("page", UNDERSTAND, ids=lambda p: p.name)
def test_each_page_has_a_picture_that_its_command_makes(page, tmp_path, monkeypatch, capsys):
    text = page.read_text()
    # those of the playground are made by its own test
    (picture,) = re.findall(r"!\[[^]]+\]\(\.\./images/(?!playground)(\w+)\.png\)", text)
    (named,) = re.findall(r"python docs/pictures/make\.py (\w+)", text)
    assert picture == named
    stored = ROOT / "docs" / "images" / f"{picture}.png"
    assert stored.stat().st_size < 100_000
    out, file = made(picture, tmp_path, monkeypatch, capsys)
    assert str(file) in out
    assert file.read_bytes().startswith(b"\x89PNG")
    for number in {
        "elbo": ("1.9305", "0.447", "2.95"),
        "reparameterization": ("1.599", "1.595", "1.00", "3.80"),  # these two train nothing
    }.get(picture, ()):
        assert number in out
        assert number in text
    if picture == "blind_spots":
        told, found = verdicts(text, out)
        assert len(found) == 7
        assert {name: told[name] for name in found} == found
