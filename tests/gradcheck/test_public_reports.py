# ruff: noqa: E501 (a table of one report a line)
"""Public reports of wrong gradients, each rebuilt small: the forward, the wrong gradient, the right one.

docs/wild.md lists the reports with what the checker says about them.
"""

import re
from functools import partial
from itertools import accumulate

import numpy as np
import pytest

from scratchvae.errors import InputError
from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import CONTRACT, FAIL, KINK, PASS

rng = np.random.default_rng(18)
X = rng.standard_normal((4, 5))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, y):
    return {"a": y * (dy - (dy * y).sum(axis=-1, keepdims=True))}


# ------------------------------------------------------------------------ at the edge of a domain


def norm(x):
    return np.sqrt((x * x).sum(axis=-1))


def norm_backward(dy, x, guarded):
    y = norm(x)[..., None]
    return dy[..., None] * x / (np.where(y == 0, 1, y) if guarded else y)


def cumprod_backward(dy, x, guarded):
    if not guarded:  # through the output over the input, and 0 for 0/0
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.cumsum((dy * np.cumprod(x))[::-1])[::-1] / x)
    tail = list(
        accumulate(
            zip(x[:0:-1], dy[-2::-1], strict=True), lambda t, xd: xd[1] + xd[0] * t, initial=dy[-1]
        )
    )
    return np.concatenate([[1], np.cumprod(x)[:-1]]) * tail[::-1]


def power_backward(dy, a, b, guarded):
    return {"b": dy * np.power(a, b) * np.log(np.where(a == 0, 1, a) if guarded else a)}


def selected_backward(dy, x, guarded):
    taken = x > 0
    return np.where(taken, 0, dy) * np.exp(np.where(taken, 0, x) if guarded else x)


def asinh(x):
    return np.sign(x) * np.log(np.abs(x) + np.hypot(1, x))


def asinh_backward(dy, x, guarded):
    return dy / np.hypot(1, x) * (1 if guarded else np.sign(x) ** 2)


def spread(x):
    return x.std(axis=1)


def spread_backward(dy, x, guarded):
    s = np.sqrt(((x - x.mean(axis=1, keepdims=True)) ** 2).mean(axis=1, keepdims=True))
    return (
        dy[:, None]
        * (x - x.mean(axis=1, keepdims=True))
        / (np.where(s == 0, 1, s) if guarded else s)
        / x.shape[1]
    )


IMAGE = np.array([3.0, 5, 4, 7, 6])


def sample(at):
    return np.interp(at, np.arange(5), IMAGE)


def sample_backward(dy, at, border):
    """Beyond the last pixel is the border's value, or 0 as the report has it."""
    i = np.floor(at).astype(int)
    return dy * np.diff(IMAGE, append=IMAGE[-1] if border else 0)[i]


def angle(x, y):
    return np.arctan2(y, x)


def angle_backward(dy, x, y, guarded):
    square = x * x + y * y
    return -dy * y / square, dy * x / square * (guarded or np.sign(y) ** 2)


# --------------------------------------------------------------------------- losses and objectives


def newton_weight(z, others):
    """The derivative of the loss by one logit, with the others fixed: its derivative is asked for."""
    return 1 / (1 + np.exp(others - z))


def newton_weight_backward(dy, y, factor=1.0):
    return {"z": factor * dy * y * (1 - y)}


def huber(p, t):
    e = np.abs(t - p)
    return np.where(e > 1, e - 0.5, e * e / 2).sum()


def huber_backward(dy, p, t, sign=-1):
    return {"p": sign * dy * np.clip(t - p, -1, 1)}


def squares(p, t):
    return ((t - p) ** 2).mean()


def squares_backward(dy, p, t, factor=2):
    return {"p": factor * dy * (p - t) / p.size}


def focal(z, t):
    q = np.where(t, 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z)))  # of the true class
    return (-0.5 * (1 - q) ** 2 * np.log(q)).sum()


def focal_backward(dy, z, t, chain):
    q = np.where(t, 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z)))
    dq = (1 - q) * np.log(q) - 0.5 * (1 - q) ** 2 / q
    return {"z": dy * np.where(t, dq, -dq) * (q * (1 - q) if chain else 1)}


PATHS = np.array(
    [[1, 1, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
)  # that spell 1 in 3 steps


def ctc(logp):
    return -np.log(np.exp(logp[np.arange(3), PATHS].sum(axis=1)).sum())


def ctc_backward(dy, logp, logits=False):
    weight = softmax(logp[np.arange(3), PATHS].sum(axis=1))
    posterior = np.stack([[weight[PATHS[:, t] == k].sum() for k in range(3)] for t in range(3)])
    return dy * ((np.exp(logp) if logits else 0) - posterior)


MASK = np.array([4, -np.inf, 4, 4, 4])


def masked_softmax(a):
    return softmax(a * MASK)


def masked_softmax_backward(dy, a, guarded):
    p = masked_softmax(a)
    dz = p * (dy - (dy * p).sum())
    return dz * (np.where(p > 0, MASK, 0) if guarded else MASK)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def log_softmax_backward(dy, y, right_one):
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True) if right_one else dy + np.exp(y)


# ------------------------------------------------------------------------------ indices and windows

IDS = np.array([2, 0, 2, 3])


def update(x, new):
    out = x.copy()
    out[IDS] = new
    return out


def update_backward(dy, x, new, last):
    dx, dnew = dy.copy(), dy[IDS]
    dx[IDS] = 0
    if last:
        dnew[0] = 0  # overwritten by the third
    return dx, dnew


def windows(n, k=3, stride=3):
    return [slice(i, min(i + k, n)) for i in range(0, n, stride)]


def mean_pool(x):
    return np.array([x[w].mean() for w in windows(len(x))])


def mean_pool_backward(dy, x, clipped):
    dx = np.zeros_like(x)
    for d, w in zip(dy, windows(len(x)), strict=True):
        dx[w] += d / (w.stop - w.start if clipped else 3)
    return dx


def dropout(x, mask):
    return 2 * x * mask


def dropout_backward(dy, x, mask, y, how):
    """From the output: y over x where x is not 0; a zero seems to be kept."""
    if how == "output":
        return {"x": np.divide(dy * y, x, out=dy.copy(), where=x != 0)}
    return {"x": 2 * dy * (mask if how == "mask" else 1)}


# ------------------------------------------------------------------------------------------ algebra


def cholesky(a):
    """The upper factor: the lower triangle of a is not read."""
    return np.linalg.cholesky(a.T).T


def cholesky_backward(dy, a, folded):
    factor = np.linalg.cholesky(a.T)
    inverse = np.linalg.inv(factor)
    p = np.tril(factor.T @ np.tril(dy.T))
    p[np.diag_indices_from(p)] /= 2
    s = (inverse.T @ p @ inverse).T
    return np.triu(s) + np.tril(s, -1).T if folded else s


def projector(a):
    """On the eigenspace of the two smallest eigenvalues, which may be equal."""
    v = np.linalg.eigh((a + a.T) / 2)[1][:, :2]
    return v @ v.T


def projector_backward(dy, a, guarded):
    w, v = np.linalg.eigh((a + a.T) / 2)
    gap = w - w[:, None]
    with np.errstate(all="ignore"):
        f = 1 / gap
    np.fill_diagonal(f, 0)
    if guarded:
        f[np.abs(gap) < 1e-9] = 0
    dv = np.zeros_like(a)
    dv[:, :2] = (dy + dy.T) @ v[:, :2]
    g = v @ (f * (v.T @ dv)) @ v.T
    return (g + g.T) / 2


def complex_matmul(a, b):
    """Of pairs of a real and an imaginary part, (2, n, m)."""
    return np.stack([a[0] @ b[0] - a[1] @ b[1], a[0] @ b[1] + a[1] @ b[0]])


def complex_matmul_backward(dy, a, b, conjugate=-1):
    def turned(x):
        return np.stack([x[0].T, conjugate * x[1].T])

    return complex_matmul(dy, turned(b)), complex_matmul(turned(a), dy)


# ----------------------------------------------------------------------------- layers and their state

MEAN, VAR = rng.standard_normal(5), 0.5 + rng.random(5)


def frozen_norm(x):
    return (x - MEAN) / np.sqrt(VAR)


def frozen_norm_backward(dy, x, training):
    if not training:
        return dy / np.sqrt(VAR)
    s, h = x.std(axis=0), (x - x.mean(axis=0)) / x.std(axis=0)
    return (dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0)) / s


def clip_to_itself_backward(dy, x, bounded):
    return dy * (x > 0) * (x < x if bounded else 1)


def reused(x, a):
    xa = x * a
    return x * xa + x * x * a + x * xa


def reused_backward(dy, x, a, again):
    """xa is visited twice and hands down all it has each time: its first part arrives twice."""
    return {"x": dy * (2 * x * a + 2 * x * a + (2 + again) * x * a)}


def softmax_loss(a):
    p = softmax(a)
    return -np.log(softmax(p)[:, 0]).mean()


def softmax_loss_backward(dy, a, inplace):
    saved = softmax(a)
    dp = softmax(saved)
    dp[:, 0] -= 1
    dp *= dy / len(a)
    if inplace:
        saved[...] = dp
    return saved * (dp - (dp * saved).sum(axis=1, keepdims=True))


N = np.array([1.0, 2.0, 5.0])


def tail(alpha):
    """A likelihood of three observations and one parameter."""
    return (N * np.log(alpha) - alpha * np.log1p(N)).sum()


def tail_backward(dy, alpha, n):
    return dy * (n / alpha - np.log1p(n)).sum()


def log_density(x, mu):
    return -((x - mu) ** 2) / 2


def log_density_backward(dy, x, mu, total):
    d = dy * (mu - x)
    return (d.sum() if total else d), -d.sum(axis=0)


# -------------------------------------------------------------------------------------------- cases

WIDE = 3 * X[:2]
SPARSE = np.maximum(rng.standard_normal((4, 5)), 0)  # what a relu returns: half of it is 0
KEPT = (rng.random((4, 5)) > 0.5) * 1.0
POSITIVE = X[:, :4].T @ X[:, :4] + np.eye(4)
PAIRED = {"a": rng.standard_normal((2, 3, 2)), "b": rng.standard_normal((2, 2, 4))}


def case(f, backward, inputs, said, right=PASS, **flag):
    """flag: the keyword of backward with its (wrong, right) values; `said`: of the headline."""
    ((key, values),) = flag.items()
    return f, *(partial(backward, **{key: value}) for value in values), inputs, said, right


UNNAMED = r"FAIL: d"  # it is found, and that is all

# the report: forward, wrong and right gradient, inputs, what the headline says of the wrong one, verdict of the right one
REPORTS = {
    "pytorch#2421 norm at 0": case(norm, norm_backward, {"x": np.vstack([X[:2], 0 * X[:1]])}, r"FAIL: dx: NaN at 5 of 15 entries", KINK, guarded=(False, True)),
    "pytorch#4320 standard deviation of equal values": case(spread, spread_backward, {"x": np.vstack([X[:2], 0 * X[:1]])}, r"FAIL: dx: NaN at 5 of 15 entries", KINK, guarded=(False, True)),
    "tensorflow#119430 cumprod, the last a zero": case(lambda x: np.cumprod(x), cumprod_backward, {"x": np.array([2.0, 3, 0])}, r"FAIL: dx: the last (slice|entry).* lost \(zero\)", guarded=(False, True)),
    "pytorch#27134 power of 0 by the exponent": case(lambda a, b: a**b, power_backward, {"a": np.array([0.0, 2, 3]), "b": np.ones(3)}, r"FAIL: db: NaN at 1 of 3 entries", guarded=(False, True)),
    "tensorflow#2540 select, the other branch overflows": case(lambda x: np.where(x > 0, 0, np.exp(x)), selected_backward, {"x": np.array([800.0, -1, 2])}, r"FAIL: dx: NaN at 1 of 3 entries", guarded=(False, True)),
    "tinygrad#17758 asinh at 0": case(asinh, asinh_backward, {"x": np.array([0, 0.5, -1])}, r"FAIL: dx: the first (slice|entry).* lost \(zero\)", guarded=(False, True)),
    "cppad#120 atan2 on the axis": case(angle, angle_backward, {"x": np.array([1.0, 2, -1]), "y": np.array([0.0, 1, 2])}, r"FAIL: dy: the first (slice|entry).* lost \(zero\)", guarded=(False, True)),
    "theano#633 clip to itself": case(lambda x: np.clip(x, 0, x), clip_to_itself_backward, {"x": np.array([5.0, 1, 2])}, r"FAIL: dx: it is zero everywhere, but the forward depends", bounded=(True, False)),
    "xgboost#5769 second derivative of softmax": case(newton_weight, newton_weight_backward, {"z": X, "others": X[::-1]}, r"FAIL: dz: 2 x too large at all 20 entries", factor=(2, 1)),
    "xgboost#2602 Huber loss": case(huber, huber_backward, {"p": WIDE, "t": X[2:]}, r"FAIL: dp: the sign is wrong at all 10 entries", sign=(1, -1)),
    "scikit-learn#5266 least squares": case(squares, squares_backward, {"p": WIDE, "t": X[2:]}, r"FAIL: dp: 2 x too small at all 10 entries", factor=(1, 2)),
    "lightgbm#2052 focal loss": case(focal, focal_backward, {"z": WIDE[0], "t": np.array([1, 0, 1, 0, 0])}, r"FAIL: dz: (perhaps )?a factor sigmoid\(z\) \(1 - sigmoid\(z\)\) is missing", chain=(False, True)),
    "pytorch#52241 CTC": case(ctc, ctc_backward, {"logp": log_softmax(X[:3, :3])}, r"FAIL: dlogp: an extra term .* exp\(logp\)", logits=(True, False)),
    "tensorflow#11756 infinite mask": case(masked_softmax, masked_softmax_backward, {"a": np.ones(5)}, r"FAIL: da: NaN at 1 of 5 entries", guarded=(False, True)),
    "mlpack#2360 log-softmax": case(log_softmax, log_softmax_backward, {"z": X}, UNNAMED, right_one=(False, True)),
    "tensorflow#56961 update of one row twice": case(update, update_backward, {"x": X, "new": X[::-1] + 1}, r"FAIL: dnew: along axis 0, slice 0 is wrong, and the others are right", last=(False, True)),
    "burn#5604 mean pooling of a cut window": case(mean_pool, mean_pool_backward, {"x": rng.standard_normal(8)}, r"FAIL: dx: .*(2 of 8|last 2)", clipped=(False, True)),
    "numpy-ml#94 dropout without its mask": case(dropout, dropout_backward, {"x": X, "mask": KEPT}, r"FAIL: dx: it should be 0 where mask is 0, and is right elsewhere", how=("no mask", "mask")),
    "kaldi#3890 dropout, mask from the output": case(dropout, dropout_backward, {"x": SPARSE, "mask": KEPT}, UNNAMED, how=("output", "mask")),
    "jax#40421 cholesky, upper": case(cholesky, cholesky_backward, {"a": POSITIVE}, UNNAMED, folded=(False, True)),
    "pytorch#47599 equal eigenvalues": case(projector, projector_backward, {"a": np.diag([1.0, 1, 3, 4])}, r"FAIL: da: NaN at", guarded=(False, True)),
    "tensorflow#4859 complex matmul": case(complex_matmul, complex_matmul_backward, PAIRED, UNNAMED, conjugate=(1, -1)),
    "pytorch-xla#913 batch norm in evaluation": case(frozen_norm, frozen_norm_backward, {"x": X}, UNNAMED, training=(True, False)),
    "ctensor#5 a node visited twice": case(reused, reused_backward, {"x": X, "a": X + 3}, r"FAIL: dx: 1\.167 x too large at all 20 entries", again=(1, 0)),
    "liger-kernel#272 saved output overwritten": case(softmax_loss, softmax_loss_backward, {"a": X}, r"FAIL: backward is not linear in dy", inplace=(True, False)),
    "stan-math#1662 the first observation alone": case(tail, tail_backward, {"alpha": np.array(1.3)}, r"FAIL: dalpha: relative error 0.97", n=(N[:1], N)),
    "gen#432 sum over every axis": case(log_density, log_density_backward, {"x": X, "mu": X[0] + 1}, r"CONTRACT: dx has shape \(\), but x has \(4, 5\)", total=(True, False)),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_a_reported_gradient_is_found(name):
    f, wrong, right, inputs, said, verdict = REPORTS[name]
    for seed in range(3):
        report = check(f, wrong, inputs, seed=seed, name="f")
        assert report.verdict == (CONTRACT if "CONTRACT" in said else FAIL), report
        assert re.search(said, report.headline), report
        assert check(f, right, inputs, seed=seed).verdict == verdict


def test_a_possible_gradient_of_a_tie_is_not_called_wrong():
    """pytorch#56734: the whole gradient of an elementwise maximum to one side. It is a subgradient."""
    inputs = {"x": np.array([1.0, 2]), "z": np.array([1.0, 1])}
    for share in (0, 0.5, 1):

        def backward(dy, x, z, share=share):
            part = np.where(x == z, share, x > z)
            return dy * part, dy * (1 - part)

        assert check(lambda x, z: np.maximum(x, z), backward, inputs).verdict == KINK


def test_the_gradient_of_another_padding_is_found_at_the_border():
    """pytorch#23925: at the border, the gradient is that of another padding."""
    at = {"at": np.array([0.5, 2.3, 4])}
    report = check(sample, partial(sample_backward, border=False), at)
    assert report.verdict == FAIL
    assert "not a valid choice" in report.headline


def test_an_infinite_output_is_not_compared():
    """jax#6811: log-sum-exp of nothing but -inf has NaN gradients. It cannot be asked about."""
    with pytest.raises(InputError, match="NaN or infinity"):
        check(lambda x: np.logaddexp(-np.inf, x - np.inf), lambda dy, x: dy * np.nan, {"x": X[0]})


def test_eigenvalues_that_are_equal_but_for_rounding():
    """pytorch#47599: 1 / gap is about 1e15, and what should cancel does not."""
    for seed in range(3):
        turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((4, 4)))[0]
        a = turn @ np.diag([1.0, 1, 3, 4]) @ turn.T
        inputs = {"a": (a + a.T) / 2}
        for guarded, verdict in ((False, FAIL), (True, PASS)):
            backward = partial(projector_backward, guarded=guarded)
            assert check(projector, backward, inputs).verdict == verdict


# -------------------------------------------------------------------- where the checker does not do well


def test_a_right_gradient_at_the_border_is_no_false_alarm():
    """pytorch#23925, mended: a slope of one side at the border, beside entries inside the image."""
    at = {"at": np.array([0.5, 2.3, 4])}
    assert check(sample, partial(sample_backward, border=True), at).verdict == KINK


def test_an_infinite_mask_may_be_an_input():
    """tensorflow#11756, with the mask as an argument."""
    f, backward = (lambda a, mask: softmax(a + mask)), softmax_backward
    inputs = {"a": X[0], "mask": np.where(np.isfinite(MASK), 0, MASK)}
    assert check(f, backward, inputs, wrt=["a"]).verdict == PASS


@pytest.mark.parametrize("x", [[2.0, 0, 0, 3], [2.0, 0, 3, 4]])
def test_a_zero_inside_a_product_gets_no_wrong_name(x):
    """tensorflow#119430: cumprod with a zero before its end."""
    report = check(
        lambda x: np.cumprod(x), partial(cumprod_backward, guarded=False), {"x": np.array(x)}
    )
    assert report.verdict == FAIL
    assert "batch" not in report.headline
