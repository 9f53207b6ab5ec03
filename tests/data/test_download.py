"""Downloading: a server may do anything, and what is kept is the right files or nothing."""

import contextlib
import gzip
import http.client
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tracemalloc
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
from scratchvae.data.mirrors import SOURCES

ALONE = [name for name in BENIGN if name != "together"]


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
def test_what_would_never_end_is_given_up(fault, server, tmp_path):
    with instead([server.mirror(fault)], seconds=0.2, attempts=1):
        refused(tmp_path, ENDLESS[fault][1])


@pytest.mark.parametrize("fault", ["has_nothing", "is_a_bit_off", "is_endless", "stalls"])
def test_the_next_mirror_is_tried_and_then_kept_to(fault, server, tmp_path):
    limits = {"seconds": 1.0, "attempts": 1} if fault in ENDLESS else {}
    with instead([server.mirror(fault), server.mirror("right")], **limits):
        check(*load_data("mnist", data_dir=tmp_path, download=True))
    assert [path.split("/")[1] for path in server.asked] == [fault, *["right"] * 4]


def test_each_mirror_says_what_was_wrong_with_it(server, closed, tmp_path):
    with instead([server.mirror("forbids"), closed]):
        text = refused(tmp_path, r"HTTP status 403, 127\.0\.0\.1 fails \(.*refused")
    assert text.startswith("mnist could not be downloaded (train-images-idx3-ubyte.gz: 127.0.0.1 ")


def test_attempts_are_counted(server, tmp_path):
    with instead([server.mirror("is_busy"), server.mirror("has_nothing")], attempts=3):
        refused(tmp_path, "503, .* 404")
    assert [path.split("/")[1] for path in server.asked] == [*["is_busy"] * 3, "has_nothing"]


def test_offline(tmp_path, monkeypatch):
    def no_name(*args, **kwargs):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with instead(SOURCES["mnist"].mirrors):
        text = refused(tmp_path, "Temporary failure in name resolution")
    assert all(mirror.split("/")[2] in text for mirror in SOURCES["mnist"].mirrors)


@pytest.mark.parametrize("fault", ["is_endless", "is_endless_in_chunks"])
def test_no_more_than_a_byte_too_much_is_read(fault, server, tmp_path, monkeypatch):
    read, got = http.client.HTTPResponse.read, []

    def counted(self, amount):
        got.append(read(self, amount))
        return got[-1]

    monkeypatch.setattr(http.client.HTTPResponse, "read", counted)
    with instead([server.mirror(fault)]):
        refused(tmp_path, "sends more than")
    assert len(b"".join(got)) == len(ARCHIVES["train-images-idx3-ubyte"]) + 1


@pytest.mark.parametrize("fault", ["has_an_endless_line", "redirects_with_an_endless_body"])
def test_an_endless_answer_takes_no_memory(fault, server, tmp_path):
    with instead([server.mirror(fault)]):
        tracemalloc.start()
        with contextlib.suppress(DataError):
            load_data("mnist", data_dir=tmp_path, download=True)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "archive",
    [
        gzip.compress(bytes(100_000_000)),
        gzip.compress(CONTENTS["train-images-idx3-ubyte"][:-1]),
        ARCHIVES["train-images-idx3-ubyte"] + b"\0",
        ARCHIVES["train-images-idx3-ubyte"][:-4],
        ARCHIVES["train-images-idx3-ubyte"][:-8] + bytes(8),
        CONTENTS["train-images-idx3-ubyte"],
    ],
    ids=["bomb", "too little", "trailing", "cut", "wrong checksum", "no gzip"],
)
def test_a_right_hash_does_not_make_a_good_archive(archive, tmp_path):
    archives = ARCHIVES | {"train-images-idx3-ubyte": archive}
    with Server(archives) as server, instead([server.mirror("right")], archives):
        tracemalloc.start()
        refused(tmp_path, r"does not hold 76 bytes|no gzip archive")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 3_000_000


# ------------------------------------------------------------------------------------------ https


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes a certificate for the test, is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [*"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(),
         *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


@pytest.fixture
def tls(certificate, monkeypatch):
    """A server that speaks TLS, whose certificate is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with Server(context=context) as server:
        yield server


def test_https(tls, tmp_path):
    with instead([tls.mirror("redirects_once")]):
        check(*load_data("mnist", data_dir=tmp_path, download=True))


def test_a_certificate_that_nobody_trusts_is_refused(tls, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with instead([tls.mirror("right")]):
        refused(tmp_path, "certificate verify failed")


def test_https_is_not_left(tls, server, tmp_path, monkeypatch):
    """A redirect from https to http is refused, and the server there is not even asked."""
    elsewhere = server.mirror("right")
    monkeypatch.setitem(
        FAULTS, "goes_elsewhere",
        (lambda h, body: h.head(f"Location: {elsewhere}x.gz", status="302 Found"), None),
    )  # fmt: skip
    with instead([tls.mirror("goes_elsewhere")]):
        refused(tmp_path, r"redirects to an address that is not https\)")
    assert server.asked == []


@pytest.mark.parametrize("fault", ["drips_a_head", "drips_a_body", "stalls_in_the_body"])
def test_the_clock_runs_under_tls_too(fault, tls, tmp_path):
    with instead([tls.mirror(fault)], seconds=0.3, attempts=1):
        refused(tmp_path, "is too slow")


def test_http_where_tls_was_expected(server, tmp_path):
    with instead([server.mirror("right", scheme="https")]):
        refused(tmp_path, r"fails \(\[SSL")


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
        pytest.raises(DataError, match=r"cannot be kept in .*mnist \(.*--data-dir") as error,
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
        pytest.raises(DataError, match=r"cannot be kept .*\(No space left on device\)"),
    ):
        load_data("mnist", data_dir=tmp_path, download=True)
    assert right_files(tmp_path / "mnist") == 0


def test_a_folder_that_may_not_be_written_to(server, tmp_path):
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("permissions do not bind this user")
    (tmp_path / "mnist").mkdir(mode=0o555)
    with (
        instead([server.mirror("right")]),
        pytest.raises(DataError, match=r"cannot be kept .*\(Permission denied\)"),
    ):
        load_data("mnist", data_dir=tmp_path, download=True)


def test_two_processes_at_once(server, tmp_path):
    """The server answers each file only when both have asked for it."""
    code = (
        "import sys; from support.faulty_server import instead; from scratchvae import load_data\n"
        "with instead([sys.argv[1]]): X, _ = load_data('mnist', data_dir=sys.argv[2], "
        "download=True)\nprint(len(X))"
    )
    command = [sys.executable, "-c", code, server.mirror("together"), str(tmp_path)]
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), "."])}
    both = [
        subprocess.Popen(
            command, env=environment, cwd=tests.parent,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [p.communicate(timeout=100) for p in both] == [("5\n", "")] * 2
    assert len(server.asked) == 8
    assert right_files(tmp_path / "mnist") == 4


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "reliability"))
    import downloads

    return downloads


def test_the_script_that_counts_finds_nothing_lost(counts, server):
    assert all(lost == 0 and tried >= 4 for _, tried, lost in counts.damaged(60))
    assert counts._served(server, "is_a_bit_off", FAULTS) == 0
    assert counts._served(server, "hangs_up_once", BENIGN) == 0


def test_and_would_count_a_loss(counts, server, monkeypatch):
    monkeypatch.setattr(download, "_unpack", lambda archive, wanted: b"")
    assert counts._served(server, "is_a_bit_off", FAULTS) == 2  # a wrong file is kept
    monkeypatch.setattr(download, "_words", None)
    assert counts._served(server, "hangs_up", FAULTS) == 2  # another exception
    monkeypatch.setattr(counts, "HANGS", 0.1)
    assert counts._served(server, "stalls", ENDLESS) == 2  # no end


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
    assert sorted(source.archives) == sorted(sum(idx.FILES.values(), ()))
    for file, archive in source.archives.items():
        n = 60_000 if file.startswith("train") else 10_000
        assert archive.content == (16 + 28 * 28 * n if "images" in file else 8 + n)
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.length < archive.content


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


@pytest.mark.parametrize("name", ["strokes", "own.npz", "a/folder", "nist", Path("own.npy")])
def test_there_is_nothing_to_download_for_others(name):
    with pytest.raises(InputError, match=r"means nothing for .*: only mnist and fashion"):
        load_data(name, download=True)


def test_train_downloads_when_told_to_and_does_not_keep_that_in_the_run(
    server, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--data", "mnist", "--data-dir", "data", "--latent-dim", "2", "--hidden", "4"]
    argv += ["--epochs", "1", "--out", "run"]
    assert cli.main(argv) == 2
    assert "fetch them with train --download" in capsys.readouterr().err
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
    with instead([server.mirror("forbids")]):
        assert cli.main(["train", "--data", "mnist", "--data-dir", ".", "--download"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["train", "--download"]) == 2
    assert "means nothing for strokes" in capsys.readouterr().err
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
    with pytest.raises(InputError, match="no home folder"):
        load_data("mnist")
