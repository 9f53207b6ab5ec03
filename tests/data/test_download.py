"""Downloads: only verified files are saved, and nothing is downloaded unless requested."""

import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.faulty_server import (
    ARCHIVES,
    BENIGN,
    CONTENTS,
    ENDLESS,
    FAULTS,
    Server,
    instead,
    right_files,
)

from scratchvae import DataError, InputError, cli, load_data
from scratchvae.data import download, idx
from scratchvae.data.download import SOURCES

ALONE = [name for name in BENIGN if name != "together"]
MNIST = SOURCES["mnist"]


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def closed():
    """A mirror at a port where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    return f"http://127.0.0.1:{port}/right/"


def check(X, y):
    images, labels = idx.FILES["train"]
    assert X.tobytes() == CONTENTS[images][16:]
    assert bytes(y.tolist()) == CONTENTS[labels][8:]


def refused(folder, match):
    """Nothing but one sentence, and nothing in the folder."""
    with pytest.raises(DataError, match=match) as error:
        load_data("mnist", data_dir=folder, download=True)
    text = str(error.value)
    assert "\n" not in text
    assert "\x1b" not in text
    assert "strokes" in text
    assert str(folder / "mnist") in text
    assert right_files(folder / "mnist") == 0
    return text


@pytest.mark.parametrize("fault", ALONE)
def test_what_is_only_slow_or_odd_is_fetched(fault, server, tmp_path):
    with instead([server.mirror(fault)]):
        check(*load_data("mnist", data_dir=tmp_path, download=True))
    assert right_files(tmp_path / "mnist") == 4
    assert len(load_data("mnist", "test", tmp_path)[0]) == 4


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_refused(fault, server, tmp_path):
    with instead([server.mirror(fault)]):
        text = refused(tmp_path, FAULTS[fault][1])
    assert all(f"{name}.gz" in text for name in ARCHIVES)
    assert "download=True" not in text, "that is what was done"


@pytest.mark.parametrize("fault", ENDLESS)
def test_a_server_that_stalls_is_given_up(fault, server, tmp_path):
    begun = time.monotonic()
    with instead([server.mirror(fault)], timeout=0.2, rounds=1):
        refused(tmp_path, ENDLESS[fault][1])
    assert time.monotonic() - begun < 20, "the time-out is ours, not pooch's"


@pytest.mark.parametrize("fault", ["has_nothing", "is_a_bit_off", "is_endless", "stalls"])
def test_the_next_mirror_is_tried_and_then_kept_to(fault, server, tmp_path):
    with instead([server.mirror(fault), server.mirror("right")], timeout=1.0, rounds=1):
        check(*load_data("mnist", data_dir=tmp_path, download=True))
    assert [path.split("/")[1] for path in server.asked] == [fault, *["right"] * 4]


def test_each_mirror_says_what_was_wrong_with_it(server, closed, tmp_path):
    with instead([server.mirror("has_nothing"), closed]):
        text = refused(tmp_path, r"HTTP status 404, 127\.0\.0\.1 failed \(.*refused")
    assert text.startswith("mnist could not be downloaded (train-images-idx3-ubyte.gz: 127.0.0.1 ")


def test_the_mirrors_are_tried_in_rounds(server, tmp_path):
    with instead([server.mirror("is_busy"), server.mirror("has_nothing")], rounds=2):
        refused(tmp_path, "503, .* 404")
    # what is not found there now will not be there in the next round
    assert [path.split("/")[1] for path in server.asked] == ["is_busy", "has_nothing", "is_busy"]


def test_offline(tmp_path, monkeypatch):
    def no_name(*args, **kwargs):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with instead(MNIST.mirrors):
        text = refused(tmp_path, "Temporary failure in name resolution")
    assert all(mirror.split("/")[2] in text for mirror in MNIST.mirrors)


def test_an_error_that_the_caller_handles_is_not_taken_for_the_reason(server, tmp_path):
    with instead([server.mirror("is_no_http")]):
        try:
            (tmp_path / "other").read_text()
        except FileNotFoundError:
            refused(tmp_path, FAULTS["is_no_http"][1])


# ------------------------------------------------------------------------------------- the folder


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    with instead([server.mirror("right")]):
        load_data("mnist", data_dir=tmp_path, download=True)
        assert len(server.asked) == 4
        load_data("mnist", "all", data_dir=tmp_path, download=True)
        assert len(server.asked) == 4
        (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
        load_data("mnist", data_dir=tmp_path, download=True)
        assert server.asked[4:] == ["/right/t10k-labels-idx1-ubyte.gz"]


def test_files_beside_the_folder_may_be_of_the_other_set(server, tmp_path):
    for split in idx.FILES.values():
        for file in split:
            (tmp_path / file).write_bytes(CONTENTS[file][:-1])
    with instead([server.mirror("right")]):
        check(*load_data("mnist", data_dir=tmp_path, download=True))
    assert len(server.asked) == right_files(tmp_path / "mnist") == 4


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_a_damaged_file_is_replaced(gz, server, tmp_path):
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / f"train-images-idx3-ubyte{gz}"
    path.write_bytes(ARCHIVES["train-images-idx3-ubyte"][:30])
    labels = "train-labels-idx1-ubyte.gz"
    path.with_name(labels).write_bytes(ARCHIVES[labels.removesuffix(".gz")])
    with pytest.raises(DataError, match="get it again"):
        load_data("mnist", data_dir=tmp_path)
    with instead([server.mirror("right")]):
        check(*load_data("mnist", data_dir=tmp_path, download=True))
    wanted = ARCHIVES if gz else CONTENTS
    assert path.read_bytes() == wanted["train-images-idx3-ubyte"]
    assert len(list(path.parent.iterdir())) == 4


def test_the_folder_is_the_one_where_load_data_looks(server, tmp_path, monkeypatch):
    with instead([server.mirror("right")]):
        monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path / "own"))
        check(*load_data("mnist", download=True))
        assert right_files(tmp_path / "own" / "mnist") == 4
        monkeypatch.delenv("SCRATCHVAE_DATA")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        check(*load_data("mnist", download=True))
    assert right_files(tmp_path / "cache" / "scratchvae" / "mnist") == 4


def test_what_a_killed_download_left_goes_when_it_is_old(server, tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    old, new = (folder / f".train-images-idx3-ubyte.gz.{n}.tmp" for n in ("00000000", "11111111"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    with instead([server.mirror("right")]):
        load_data("mnist", data_dir=tmp_path, download=True)
    assert not old.exists()
    assert new.exists(), "another process may be writing it"


def test_a_file_where_the_folder_should_be(server, tmp_path):
    (tmp_path / "mnist").write_text("mine")
    with (
        instead([server.mirror("right")]),
        pytest.raises(DataError, match=r"cannot be written to .*mnist \(.*--data-dir") as error,
    ):
        load_data("mnist", data_dir=tmp_path, download=True)
    assert "\n" not in str(error.value)
    assert (tmp_path / "mnist").read_text() == "mine"


def test_a_full_disk(server, tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        instead([server.mirror("right")]),
        pytest.raises(DataError, match=r"cannot be written .*\(No space left on device\)"),
    ):
        load_data("mnist", data_dir=tmp_path, download=True)
    assert right_files(tmp_path / "mnist") == 0


def test_a_folder_that_may_not_be_written_to(server, tmp_path):
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("permissions do not bind this user")
    (tmp_path / "mnist").mkdir(mode=0o555)
    with (
        instead([server.mirror("right")]),
        pytest.raises(DataError, match=r"cannot be written .*\(Permission denied\)"),
    ):
        load_data("mnist", data_dir=tmp_path, download=True)


def start(code, *arguments):
    """Another process that downloads from the first argument."""
    first = "import sys; from support.faulty_server import instead\nwith instead([sys.argv[1]]):\n"
    code = f"{first}  {code}"
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), "."])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, cwd=tests.parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_at_once(server, tmp_path):
    """The server answers each file only when both have asked for it."""
    code = (
        "from scratchvae import load_data\n"
        "  print(len(load_data('mnist', data_dir=sys.argv[2], download=True)[0]))"
    )
    both = [start(code, server.mirror("together"), str(tmp_path)) for _ in range(2)]
    assert [p.communicate(timeout=100) for p in both] == [("5\n", "")] * 2
    assert len(server.asked) == 8
    assert right_files(tmp_path / "mnist") == 4


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_leaves_nothing(server, tmp_path):
    """In the midst of the first file."""
    code = (
        "from scratchvae import cli\n"
        "  sys.exit(cli.main(['train', '--data', 'mnist', '--data-dir', sys.argv[2], "
        "'--download', '--out', sys.argv[2] + '/run']))"
    )
    process = start(code, server.mirror("stalls_in_the_body"), str(tmp_path))
    while not server.asked and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "reliability"))
    import downloads

    return downloads


def test_the_script_that_counts_finds_nothing_lost(counts, server):
    assert all(lost == 0 and tried >= 4 for _, tried, lost in counts.damaged(60))
    assert counts.lost("refused", [server.mirror("is_a_bit_off")]) == 0
    assert counts.lost("fetched", [server.mirror("hangs_up"), server.mirror("right")]) == 0


def test_and_would_count_a_loss(counts, server, monkeypatch):
    monkeypatch.setattr(counts, "HANGS", 0.1)
    assert counts.lost("refused", [server.mirror("stalls")]) == 1  # no end
    monkeypatch.undo()
    monkeypatch.setattr(download, "_reason", None)
    assert counts.lost("refused", [server.mirror("hangs_up")]) == 1  # another exception
    monkeypatch.setattr(download, "_download", lambda *a: gzip.compress(b""))
    assert counts.lost("refused", [server.mirror("is_a_bit_off")]) == 1  # a wrong file is kept


# ------------------------------------------------------------------------- only when it was asked


def test_no_test_reaches_beyond_loopback():
    with pytest.raises(RuntimeError, match="beyond loopback"):
        socket.create_connection(("192.0.2.1", 443), timeout=1)
    with pytest.raises(RuntimeError, match="beyond loopback"):
        socket.getaddrinfo("example.org", 443)


@pytest.mark.parametrize("name", SOURCES)
def test_the_real_mirrors_would_be_asked(name, tmp_path, monkeypatch):
    """As far as the guard lets them."""
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(RuntimeError, match=r"storage\.googleapis\.com is beyond loopback"):
        load_data(name, data_dir=tmp_path, download=True)
    with pytest.raises(DataError, match="no file"):
        load_data(name, data_dir=tmp_path)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_table(source):
    assert len(source.mirrors) >= 2
    assert all(m.startswith("https://") and m.endswith("/") for m in source.mirrors)
    assert sorted(a.file for a in source.archives) == sorted(sum(idx.FILES.values(), ()))
    assert all(len(bytes.fromhex(archive.sha256)) == 32 for archive in source.archives)


def test_without_being_asked_nothing_that_reaches_the_network_is_imported(tmp_path):
    """In a fresh interpreter in which a socket is an error."""
    code = """if True:
        import sys
        def hook(event, args):
            if event.startswith("socket."):
                raise RuntimeError(event)
        sys.addaudithook(hook)
        import numpy as np
        from scratchvae import VAE, InputError, cli, load_data, load_model
        X, y = load_data("strokes")
        np.savez("own.npz", X=X[:50])
        load_data("own.npz")
        for name in ("mnist", "fashion-mnist"):
            try:
                load_data(name, data_dir=".")
            except InputError as error:
                assert "download=True" in str(error)
        VAE(latent_dim=2, hidden=(4,)).fit(X[:50], epochs=1).save("model.npz")
        load_model("model.npz")
        network = {"socket", "_socket", "ssl", "http.client", "urllib.request", "ftplib"}
        network |= {"pooch", "requests", "urllib3"}
        assert not network & set(sys.modules), network & set(sys.modules)
        assert cli.main(["evaluate", "model.npz", "--data", "own.npz"]) == 0
        assert "scratchvae.data.download" not in sys.modules
        try:
            load_data("mnist", data_dir=".", download=True)
        except RuntimeError as error:
            print("asked:", error)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(download.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment | {"no_proxy": "*"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "asked: socket." in done.stdout


def test_without_pooch_one_sentence_says_how_to_install_it(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pooch", None)
    sentence = (
        "--download (download=True) needs pooch, which is not installed: "
        "pip install 'scratchvae[download]'"
    )
    argv = ["train", "--data", "mnist", "--data-dir", str(tmp_path), "--download"]
    with instead([server.mirror("right")]):
        with pytest.raises(InputError) as error:
            load_data("mnist", data_dir=tmp_path, download=True)
        assert str(error.value) == sentence
        assert cli.main([*argv, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["strokes", "own.npz", "a/folder", "nist", Path("own.npy")])
def test_there_is_nothing_to_download_for_others(name):
    with pytest.raises(InputError, match=r"does not apply to .*: only mnist and fashion"):
        load_data(name, download=True)


def test_train_downloads_when_told_to_and_does_not_keep_that_in_the_run(
    server, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--data", "mnist", "--data-dir", "data", "--latent-dim", "2", "--hidden", "4"]
    argv += ["--epochs", "1", "--out", "run"]
    assert cli.main(argv) == 2
    assert "download them with train --download" in capsys.readouterr().err
    with instead([server.mirror("right")]):
        assert cli.main([*argv, "--download"]) == 0
    out, err = capsys.readouterr()
    assert "5 training and 4 test examples of mnist" in out
    assert err == "", "it is no terminal"
    assert len(server.asked) == 4
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "download" not in kept
    assert kept["data_dir"] == str(tmp_path / "data"), "to be found from anywhere"


def test_train_refuses_in_one_line(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with instead([server.mirror("has_nothing")]):
        assert cli.main(["train", "--data", "mnist", "--data-dir", ".", "--download"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["train", "--download"]) == 2
    assert "does not apply to strokes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("verbose", [False, True])
def test_a_terminal_shows_how_far_it_is(verbose, server, tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with instead([server.mirror("in_pieces")]):
        download.fetch_missing("mnist", tmp_path, verbose=verbose)
    assert ("train-images-idx3-ubyte.gz" in terminal.getvalue()) is verbose


def test_a_user_without_a_home_is_told(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    for name in ("SCRATCHVAE_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(InputError, match="home folder is unknown"):
        load_data("mnist")
