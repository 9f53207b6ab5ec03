"""Family 2: the checks must detect the gradient bugs of real projects."""

from pathlib import Path

import numpy as np
import pytest
from support.finite_differences import LIMIT, compare
from support.shipped_step import check_shipped_step

from scratchvae import VAE, InputError, cli
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import GradientError, check, check_model, draw_inputs, mutation_score
from scratchvae.gradcheck.suites.mutants import MUTANTS, mutants
from scratchvae.models import vae
from scratchvae.train import Trainer
from scratchvae.train.optim import Adam
from scratchvae.verify import BUGS
from scratchvae.verify import table as verify

ROOT = Path(__file__).parents[2]
# what must notice each bug: one finding, or the gradients of at least these parameters
ENCODER = "gradient denc0_W, denc0_b, dhead_W, dhead_b"
EVERY = f"{ENCODER}, ddec0_W, ddec0_b, dout_W, dout_b"
KILLERS = {
    "noise redrawn in backward": ENCODER,
    "leftover gradient of the decoder in the encoder": "gradient denc0_W, denc0_b",
    "weights from before training in backward": "gradients after 20 steps",
    "sum over the batch in backward": EVERY,
    "sum over the pixels too many in backward": EVERY,
    "derivative of the activation forgotten": f"{ENCODER}, ddec0_W, ddec0_b",
    "derivative of a sigmoid too many": EVERY,
    "activation in backward only": f"{ENCODER}, ddec0_W, ddec0_b",
    "sign of the kl in backward": ENCODER,
    "sign of the kl by mu in backward": ENCODER,
    "kl forgotten in backward": ENCODER,
    "mu and logvar exchanged in backward": ENCODER,
    "no gradient for the encoder": ENCODER,
    "gradients add up from step to step": "the gradient that a step uses",
    "beta in the loss only": "gradients at beta + 1",
    "division by a saturated probability": "gradients at extremes",
    "exp logvar as standard deviation": "spread of the samples",
    "noise scaled in the sampler": "spread of the samples",
    "noise scaled where it is drawn": "spread of the samples",
    "one noise for all units": "samples are independent",
    "noise of plus and minus one": "samples are normal",
    "uniform noise": "mean of the samples",
    "kl identically zero": "KL by Monte Carlo",
    "kl without its half": "KL by Monte Carlo",
    "beta accepted but unused": "beta times the KL",
    "mean of pixels and sum of units": "rec is -log p(x|z)",
    "loss summed over the batch": "mean of the examples",
    "probabilities clipped at 0 999": "rec at logits of 40",
    "score without the kl": "ELBO is L_1 on average",
    "bound is the mean of the logs": "L_10 of ten samples",
    "bound not divided by the samples": "L_10 of ten samples",
    "one adam update for each example": "the update of a step",
    "adam without its first moment": "the update of a step",
    "adam without bias correction": "the update of a step",
    "kl left out of training": "the gradient that a step uses",
}
# what no difference can see: the gradient is the right one, of something else
BY_MEANING = list(KILLERS)[list(KILLERS).index("exp logvar as standard deviation") :]


@pytest.fixture(scope="module")
def reports():
    """What `verify --teeth` says killed each mutant, and the report in which it saw that."""
    seen = []

    def recorded(check):
        def function(*arguments, **named):
            seen.append(check(*arguments, **named))
            return seen[-1]

        return function

    with pytest.MonkeyPatch.context() as patch:
        for name in ("check", "check_model"):
            patch.setattr(verify, name, recorded(getattr(verify, name)))
        results = list(verify.teeth())
    return {name: (killer, seen) for (name, killer), seen in zip(results, seen, strict=True)}


@pytest.fixture(scope="module")
def killers(reports):
    return {name: killer for name, (killer, _) in reports.items()}


def test_every_mutant_is_killed(killers):
    assert [name for name, killer in killers.items() if not killer] == []
    assert len(killers) == len(BUGS) + sum(
        1 for name, op in OPS.items() for _ in mutants(op.forward, op.backward, draw_inputs(name))
    )
    b, n = len(BUGS), len(killers)
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"all {b} planted bugs and all {n - b} wrong op gradients" in readme
    checked = (ROOT / "docs" / "checked.md").read_text()
    assert f"plants {b} bugs" in checked
    assert f"killed {n} of {n}" in checked


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_noticed_by_what_is_there_to_notice_it(killers, bug):
    assert KILLERS[bug] in killers[bug].split("; ")
    if bug in BY_MEANING:
        assert "gradient d" not in killers[bug]
        assert "gradients" not in killers[bug]


@pytest.mark.parametrize("name", OPS)
def test_the_checker_tells_every_wrong_gradient_of_an_op(name, reports):
    found = [key for key in reports if key.startswith(f"{name}: d")]
    for key in found:
        leaf, mutant = key.removeprefix(f"{name}: d").split(" ", 1)
        _, report = reports[key]
        failed = [found.name for found in report.leaves if found.verdict == "FAIL"]
        assert failed == [leaf], f"{mutant}: {report}"
        with pytest.raises(GradientError, match=rf"d{leaf} +FAIL"):
            report.raise_if_failed()
    # of one noise level that all share, five are the same as another or as nothing
    assert len(found) >= len(MUTANTS) * len(OPS[name].gradients) - 6


@pytest.mark.parametrize("bug", [bug for bug in BUGS if KILLERS[bug].startswith("gradient d")])
def test_the_entrywise_oracle_sees_the_bug_in_the_shipped_step(bug, rng):
    """The bugs are real: another checker, which shares no code with ours, finds them too."""
    model, x, _, _ = verify.subject("vae")
    trainer = Trainer(model, x, batch_size=len(x))
    check_shipped_step(trainer, np.arange(4))
    with BUGS[bug](), pytest.raises(AssertionError, match="FAIL"):
        check_shipped_step(trainer, np.arange(4))


@pytest.mark.parametrize(
    "bug", ["exp logvar as standard deviation", "probabilities clipped at 0 999"]
)
def test_the_entrywise_oracle_is_blind_to_a_right_gradient_of_the_wrong_thing(bug):
    model, x, eps, _ = verify.subject("vae")
    with BUGS[bug]():
        _, gradients = model.loss_and_grad(x, eps)
        for name, tensor in model.params_.items():
            leaf = compare(name, lambda: model.loss_and_grad(x, eps)[0], tensor, gradients[name])
            assert leaf.relative <= LIMIT


def test_a_bug_is_gone_when_its_switch_is_off():
    for switch in BUGS.values():
        with switch():
            pass
    assert check_model(*verify.subject("vae")).verdict == "PASS"


@pytest.mark.parametrize("name", verify.SUBJECTS)
@pytest.mark.parametrize("seed", [1, 2])  # the test of the command has seed 0
def test_no_false_alarm_on_the_shipped_models(name, seed):
    report = check_model(*verify.subject(name, seed), seed=seed)
    assert report.verdict == "PASS", report


@pytest.mark.parametrize("rows", [1, 128, 600])
def test_batches_of_any_size_are_no_false_alarm(rows, rng):
    model = verify.SUBJECTS["vae"][0](latent_dim=2, hidden=(5,), dtype="float64")
    report = check_model(model, rng.random((rows, 6)))
    assert report.verdict == "PASS", report


def test_a_model_is_afterwards_what_it_was(rng):
    model, x, eps, _ = verify.subject("vae, deep, tanh, beta 4")
    before = model.params_.array.copy()
    check_model(model, x, eps)
    np.testing.assert_array_equal(model.params_.array, before)
    assert model.beta == 4.0
    assert model.history_ == []


def test_an_update_that_is_off_by_little_is_noticed():
    right = Adam.update

    def update(self, p, *rest):
        right(self, p, *rest)
        p *= 1 + 1e-11

    model, x, eps, _ = verify.subject("vae")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Adam, "update", update)
        report = check_model(model, x, eps)
    assert verify.killers(report) == "the update of a step"


def test_a_loss_that_backward_changes_is_the_one_that_is_checked():
    right = vae.backward

    def backward(p, g, acts, *rest):
        right(p, g, acts, *rest)
        acts.rec *= 2

    model, x, eps, _ = verify.subject("vae")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vae, "backward", backward)
        report = check_model(model, x, eps)
    assert "gradient denc0_W" in verify.killers(report)


def test_a_device_model_can_be_checked(double, rng):
    model = verify.SUBJECTS["vae"][0](latent_dim=2, hidden=(5,), dtype="float64", device="cuda")
    report = check_model(model, rng.random((3, 6)))
    assert report.verdict == "PASS", report


def test_the_command_names_each_mutant_with_its_killer(capsys, monkeypatch):
    kept = {"kl identically zero": BUGS["kl identically zero"]}
    monkeypatch.setattr(verify, "BUGS", kept)
    monkeypatch.setattr(verify, "OPS", {"relu": OPS["relu"]})
    assert cli.main(["verify", "--teeth"]) == 0
    out, _ = capsys.readouterr()
    assert "kl identically zero                                KL by Monte Carlo; beta" in out
    assert "relu: dx x 2                                       gradient dx" in out
    assert "killed 16 of 16" in out
    monkeypatch.setattr(verify, "check_model", lambda *a, **k: check_model(*verify.subject("ae")))
    assert cli.main(["verify", "--teeth"]) == 1
    out, _ = capsys.readouterr()
    assert "kl identically zero                                SURVIVED" in out
    assert "killed 15 of 16" in out
    assert cli.main(["verify", "mine.py", "--teeth"]) == 2


# ------------------------------------------------------------------------- tests of other people


def product(x, W):
    return x @ W


def product_backward(dy, x, W):
    return dy @ W.T, x.T @ dy


@pytest.fixture
def xW(rng):
    return {"x": rng.standard_normal((4, 6)), "W": rng.standard_normal((6, 3))}


def test_the_checker_itself_is_a_test_that_catches_all(xW):
    found = mutation_score(product, product_backward, xW, check)
    assert found.score == 1
    assert found.total == 2 * len(MUTANTS)
    assert str(found) == "product: 30 of 30 wrong gradients caught"


def test_a_weak_test_is_told_what_it_lets_pass(xW):
    def only_shapes(f, f_backward, inputs):
        dx, dW = f_backward(f(**inputs), **inputs)
        assert dx.shape == inputs["x"].shape
        assert not np.isnan(dW).any()

    found = mutation_score(product, product_backward, xW, only_shapes)
    assert (found.killed, found.total) == (1, 30)
    assert "not caught: dx x 2" in str(found)
    assert "dW NaN in one entry" not in found.survivors


def test_a_test_may_answer_with_a_bool(xW):
    def loose(f, f_backward, inputs):
        right, wrong = (b(f(**inputs), **inputs)[0] for b in (product_backward, f_backward))
        return np.allclose(right, wrong, rtol=1e-3, atol=1e-8)

    found = mutation_score(product, product_backward, xW, loose)
    assert {text for text in found.survivors if text.startswith("dx")} == {
        "dx + 0.1 %",
        "dx x 1.0001",
    }


def test_a_test_that_fails_the_right_backward_tells_nothing(xW):
    with pytest.raises(InputError, match=r"fails the unmodified product_backward.*returns False"):
        mutation_score(product, product_backward, xW, lambda f, b, inputs: False)
    with pytest.raises(InputError, match=r"TypeError: .* takes 1 positional argument"):
        mutation_score(product, product_backward, xW, lambda f: True)


def test_mutants_are_called_as_the_right_backward_is(xW):
    """By position or by name; they return what it returns: one array, a tuple or a dict."""
    x, W = xW["x"], xW["W"]
    dy = np.ones((4, 3))
    for leaf, mutant, wrong in mutants(product, product_backward, xW):
        if mutant == "x 2":
            dx, dW = wrong(dy, x, W=W)
            np.testing.assert_array_equal(dx, (2 if leaf == "x" else 1) * (dy @ W.T))
            np.testing.assert_array_equal(dW, (2 if leaf == "W" else 1) * (x.T @ dy))
    named = lambda dy, x, W: {"W": x.T @ dy}  # noqa: E731
    _, _, wrong = next(mutants(product, named, xW))
    np.testing.assert_array_equal(wrong(dy, x, W)["W"], 2 * (x.T @ dy))
    _, _, wrong = next(mutants(lambda x: x * x, lambda dy, x: 2 * dy * x, {"x": x}))
    np.testing.assert_array_equal(wrong(x, x), 4 * x * x)


def test_a_mutant_that_changes_nothing_is_none():
    """A single entry has no transpose and no other row."""
    made = [
        mutant
        for _, mutant, _ in mutants(
            lambda x: x * x, lambda dy, x: 2 * dy * x, {"x": np.ones((1, 1))}
        )
    ]
    assert "transposed" not in made
    assert "rolled" not in made
    assert "x 2" in made


def test_a_test_may_fail_as_tests_do(xW):
    def fails(f, f_backward, inputs):
        right, wrong = (b(f(**inputs), **inputs)[0] for b in (product_backward, f_backward))
        if not np.allclose(right, wrong):
            pytest.fail("wrong")

    def destroys(f, f_backward, inputs):
        fails(f, f_backward, inputs)
        inputs["x"][...] = 0

    for test in (fails, destroys):
        found = mutation_score(product, product_backward, xW, test)
        assert {text[1] for text in found.survivors} == {"W"}


def test_a_mutant_writes_into_the_destination_that_it_is_given():
    op = OPS["tanh"]
    inputs = draw_inputs("tanh")
    y = op.forward(**inputs)
    dy, buffer = np.ones_like(y), np.empty_like(y)
    for _, mutant, wrong in mutants(op.forward, op.backward, inputs):
        out = wrong(dy, y, dx=buffer)
        assert out is buffer, mutant
        if mutant == "x 2":
            np.testing.assert_array_equal(buffer, 2 * op.backward(dy, y))


def test_mutants_of_device_arrays(xp):
    op = OPS["tanh"]
    inputs = {n: xp.asarray(a) for n, a in draw_inputs("tanh").items()}
    found = mutation_score(op.forward, op.backward, inputs, check)
    assert found.total == len(MUTANTS)
    assert found.survivors == ()


def test_the_model_that_is_checked_keeps_its_backward():
    """Other threads may use it; and backward may be called by the names of its arguments."""
    kept = []

    class Named(VAE):
        def loss_and_grad(self, x, eps=None, y=None):
            if self is model:
                kept.append("backward" not in vars(self))
            view = self.view()
            view.backward(g=view.gradients, acts=view.forward(view.to_device(x, "x"), eps))
            return super().loss_and_grad(x, eps, y)

    _, x, eps, _ = verify.subject("vae")
    model = Named(latent_dim=eps.shape[1], hidden=(5,), dtype="float64").build(x.shape[1])
    assert check_model(model, x, eps).verdict == "PASS"
    assert kept
    assert all(kept)
