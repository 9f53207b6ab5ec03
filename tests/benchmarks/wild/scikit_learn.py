"""scikit-learn: losses, linear models, MLPs, kernels, Gaussian processes, NCA."""

import numpy as np
from benchmarks.wild import Pair, draw

SOURCE = "scikit-learn"


def scalar(name, f, x, **known):
    """f(x) returns (value, gradient)."""

    def run(x):
        value, gradient = f(x)
        return value, lambda dy: {"x": dy * gradient}

    return Pair(name, run, {"x": x}, **known)


def losses():
    from sklearn._loss import loss as L

    positive, real = draw(7, low=0.5, high=3.0), draw(7, seed=1)
    binary = np.array([0.0, 1, 1, 0, 1, 0, 1])
    for made, y in (
        *(
            (L.HalfSquaredError(), real),
            (L.AbsoluteError(), real),
            (L.PinballLoss(quantile=0.3), real),
        ),
        *(
            (L.HuberLoss(delta=0.8), real),
            (L.HalfPoissonLoss(), positive),
            (L.HalfGammaLoss(), positive),
        ),
        *((L.HalfTweedieLoss(power=p), positive) for p in (0.0, 1.0, 1.5, 2.0, 3.0)),
        (L.HalfTweedieLossIdentity(power=1.5), positive),
        *((L.HalfBinomialLoss(), binary), (L.ExponentialLoss(), binary)),
    ):

        def run(raw, made=made, y=y):
            value = made.loss(y, raw.copy())
            return value, lambda dy: {"raw": dy * made.gradient(y, raw.copy())}

        x = positive[::-1].copy() if isinstance(made, L.HalfTweedieLossIdentity) else draw(7)
        power = getattr(made.closs, "power", "")
        yield Pair(f"{type(made).__name__} {power}".strip(), run, {"raw": x})
    labels = np.array([0.0, 2, 1, 1, 0])

    def multinomial(raw):
        made = L.HalfMultinomialLoss(n_classes=3)
        value = made.loss(labels, raw.copy())
        return value, lambda dy: {"raw": dy[:, None] * made.gradient(labels, raw.copy())}

    yield Pair("HalfMultinomialLoss", multinomial, {"raw": draw(5, 3)})


def linear():
    from sklearn._loss import loss as L
    from sklearn.linear_model._huber import _huber_loss_and_gradient
    from sklearn.linear_model._linear_loss import LinearModelLoss

    X, real, positive = draw(8, 3), draw(8), draw(8, low=0.5, high=3.0)
    binary, labels = np.array([0.0, 1] * 4), np.array([0.0, 2, 1, 1, 0, 2, 2, 1])
    for base, y in (
        (L.HalfSquaredError(), real),
        (L.HalfPoissonLoss(), positive),
        (L.HalfGammaLoss(), positive),
        (L.HalfBinomialLoss(), binary),
    ):
        for intercept in (True, False):
            made = LinearModelLoss(base, fit_intercept=intercept)
            f = lambda w, m=made, y=y: m.loss_gradient(w.copy(), X, y, l2_reg_strength=0.3)  # noqa: E731
            name = f"LinearModelLoss, {type(base).__name__}, intercept {intercept}"
            yield scalar(name, f, draw(3 + intercept))
    made = LinearModelLoss(L.HalfMultinomialLoss(n_classes=3), fit_intercept=True)
    yield scalar(
        "LinearModelLoss, HalfMultinomialLoss",
        lambda w: made.loss_gradient(np.asfortranarray(w), X, labels, l2_reg_strength=0.3),
        draw(3, 4),
    )
    for n in (4, 5):
        start = np.r_[draw(n - 1), 1.3]
        yield scalar(
            f"_huber_loss_and_gradient, {n} parameters",
            lambda w: _huber_loss_and_gradient(w, X, real, 1.35, 0.1, np.ones(8)),
            start,
        )


def networks():
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    X = draw(8, 3)
    several = {
        "cause": "the gradient is of the sum over outputs, the loss the mean",
        "says": "[23] x too large|some|part|perhaps",
    }
    targets = (
        (MLPRegressor, "one output", draw(8), {}),
        (MLPRegressor, "three outputs", draw(8, 3, seed=4), several),
        (MLPClassifier, "two classes", np.array([0, 1] * 4), {}),
        (MLPClassifier, "three classes", np.array([0, 2, 1, 1, 0, 2, 2, 1]), {}),
    )
    for cls, text, y, known in targets:
        for activation in ("relu", "tanh", "logistic", "identity"):
            net = cls(
                hidden_layer_sizes=(4,),
                activation=activation,
                solver="lbfgs",
                max_iter=1,
                random_state=0,
                alpha=0.0,
            )
            net.fit(X, y)
            Y = net._label_binarizer.transform(y) if cls is MLPClassifier else y.reshape(8, -1)
            start = np.concatenate([w.ravel() for w in (*net.coefs_, *net.intercepts_)])

            def f(w, net=net, Y=Y):
                sizes = [X.shape[1], 4, Y.shape[1]]
                return net._loss_grad_lbfgs(
                    w,
                    X,
                    Y,
                    None,
                    [X, *(np.empty((8, n)) for n in sizes[1:])],
                    [np.empty((8, n)) for n in sizes[1:]],
                    [np.empty((3, 4)), np.empty((4, sizes[2]))],
                    [np.empty(n) for n in sizes[1:]],
                )

            yield scalar(
                f"{cls.__name__}, {text}, {activation}", f, start + 0.3 * draw(start.size), **known
            )


def kernels():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process import kernels as K

    X, y = draw(6, 2), draw(6)
    every = (
        *(K.ConstantKernel(2.0), K.WhiteKernel(0.5), K.RBF(1.3), K.RBF([1.3, 0.7])),
        *(K.Matern(1.1, nu=nu) for nu in (0.5, 1.5, 2.5, 2.2)),
        *(K.RationalQuadratic(1.2, 0.7), K.ExpSineSquared(1.1, 2.3), K.DotProduct(0.8)),
        *(K.RBF() + K.DotProduct(), K.RBF() * K.DotProduct(), K.RBF() ** 2.0),
    )
    for kernel in every:

        def run(theta, kernel=kernel):
            made = kernel.clone_with_theta(theta)
            value = made(X)

            def back(dy):
                dK = made(X, eval_gradient=True)[1]
                axes = list(range(dy.ndim))
                return {"theta": np.tensordot(dy, dK, (axes, axes))}

            return value, back

        numeric = {
            "cause": "a general nu is differentiated numerically, with a step of 1e-10",
            "says": "% too|so small",
        }
        known = numeric if getattr(kernel, "nu", None) == 2.2 else {}
        yield Pair(f"kernel {kernel}", run, {"theta": kernel.theta.copy()}, **known)
    for kernel in (K.RBF(1.3) + K.WhiteKernel(0.5), K.Matern(1.1) * K.ConstantKernel(2.0)):
        model = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.1).fit(X, y)
        f = lambda t, m=model: m.log_marginal_likelihood(t, eval_gradient=True)  # noqa: E731
        yield scalar(f"log marginal likelihood of {kernel}", f, kernel.theta.copy())


def others():
    from scipy.spatial.distance import pdist
    from sklearn.manifold import _t_sne
    from sklearn.neighbors import NeighborhoodComponentsAnalysis

    X, y = draw(8, 3), np.array([0, 0, 1, 1, 0, 1, 0, 1])
    nca = NeighborhoodComponentsAnalysis(n_components=2)
    nca.n_iter_, nca.callback, nca.verbose = 0, None, 0
    same = y[:, None] == y

    def components(w):
        value, gradient = nca._loss_grad_lbfgs(w.copy(), X, same, -1.0)
        return value, gradient.ravel()

    yield scalar("NeighborhoodComponentsAnalysis", components, draw(6))
    P = np.exp(-pdist(X))
    P /= 2 * P.sum()

    def t_sne(x):
        return _t_sne._kl_divergence(x.copy(), P, 1.0, 8, 2)

    yield scalar("t-SNE, _kl_divergence", t_sne, draw(16))


def pairs(root):
    for some in (losses, linear, networks, kernels, others):
        yield from some()
