"""The semi-supervised VAE, M2 of Kingma et al. (arXiv:1406.5298), forward and backward.

A conditional VAE with a classifier q(y|x) for rows whose label is unknown. With
L(x,y) = rec + kl - log p(y), an upper bound on -log p(x,y), and p(y) = 1/C, the losses are

    labelled row      L(x,y) - alpha log q(y|x)
    unlabelled row    U(x) = sum_y q(y|x) [L(x,y) + log q(y|x)], an upper bound on -log p(x)

L is computed for K classes of every row: rows b K to b K + K - 1 of the inputs of encoder and
decoder are example b with each of them. K is C; with `top`, the sum is over the K most likely
classes, and q(y|x) is normalised over these. It is still a bound, as for any distribution over y
(truncated variational EM: Lucke & Eggert, 2010, doi:10.1162/NECO_a_00018).

beta weighs the KL of (z, y): the losses above have beta [kl - log p(y)] and beta log q(y|x).
"""

from dataclasses import dataclass
from math import inf, log

from .. import ops
from ..backend import Array
from ..backend import array_module as module
from ..backend.registry import SKIP, backward_of
from ..data.labels import missing
from ..errors import InputError, finite_number, whole_number
from ..nets import ACTIVATIONS, layer_shapes, mlp, mlp_backward
from . import losses, vae
from .iwae import repeated
from .labelled import Labelled
from .parameters import reads


@dataclass(slots=True)
class Activations:
    """What forward computes and backward reads, in the order of computation."""

    x: Array  # (BK,D) the pixels, each row K times
    t: Array  # (B,C) the labels, one-hot; zeros for an unlabelled row
    cls: list[Array]  # x (B,D), then each hidden layer of the classifier (B,H)
    logits: Array  # (B,C) of q(y|x)
    tried: Array  # (B,K,C) the classes of each row that are summed over, one-hot
    enc: list[Array]  # each hidden layer of the encoder (BK,H)
    mus: Array  # (BK,Z) means of q(z|x,y)
    logvars: Array  # (BK,Z) log of the variances of q(z|x,y)
    eps: Array  # (BK,Z) the noise, the same for all classes of a row
    z: Array  # (BK,Z) the samples
    dec: list[Array]  # z beside y (BK,Z+C), then each hidden layer of the decoder (BK,H)
    y: Array  # (BK,D) logits (Bernoulli) or means (Gaussian) of p(x|z,y)
    kls: Array  # (B,K) KL(q(z|x,y) || p(z)), nats
    cost: Array  # (B,K) L(x,y), nats
    mu: Array  # (B,Z) mean of q(z|x,y) at the label; averaged over q(y|x) if unlabelled
    rec: Array  # (B,) -log p(x|z,y), nats, likewise
    kl: Array  # (B,) the rest of the bound, nats: KL of z + log C - entropy of q(y|x)
    loss: Array  # (B,) rec + beta kl, plus alpha times the classifier's cross-entropy


def forward(p, x, t, eps, ws, activation, likelihood, alpha, beta=1.0, top=None):
    """x (B,D), t (B,C), eps (B,Z)  ->  the losses of each example, all intermediate results."""
    (B, C), Z = t.shape, eps.shape[1]
    cls = mlp(p, "cls", x, activation, ws)
    logits = ops.linear(cls[-1], p.class_W, p.class_b, out=ws("logits", B, C))
    tried = most_likely(logits, t, C if top is None else min(top, C))
    K = tried.shape[1]

    enc, mus, logvars = encode(p, x, tried, ws, activation)
    eps = repeated(eps, K, "epss", ws)
    z = ops.reparameterize(mus, logvars, eps, out=ws("z", B * K, Z))
    zy = ws("zy", B, K, Z + C)
    zy[:, :, :Z], zy[:, :, Z:] = z.reshape(B, K, Z), tried
    dec, y = vae.decode(p, zy.reshape(B * K, Z + C), ws, activation)
    xs = repeated(x, K, "xs", ws)
    rec = losses.reconstruction(p, y, xs, ws, likelihood).reshape(B, K)
    kls = ops.gaussian_kl(mus, logvars, out=ws("kls", B * K)).reshape(B, K)
    cost = kls + rec + log(C)

    # averages over the classes, with weights q(y|x) or the one-hot label. rec is averaged
    # separately, because it may be infinite where its weight is 0; rec + kl equals
    # sum_k s cost + unlabelled unknown_class(cost), s the label
    s, some_logits = of_tried(tried, t), of_tried(tried, logits)
    unlabelled = 1 - t.sum(axis=1)
    xp = module(x)
    share = s + unlabelled[:, None] * xp.exp(losses.log_softmax(some_logits))
    mu = (share[:, :, None] * mus.reshape(B, K, Z)).sum(axis=1)
    rec = (share * xp.where(share > 0, rec, 0)).sum(axis=1)
    rest = kls + log(C)
    kl = (s * rest).sum(axis=1) + unlabelled * losses.unknown_class(some_logits, rest)
    loss = rec + beta * kl + alpha * losses.softmax_cross_entropy(logits, t)
    return Activations(
        xs, t, cls, logits, tried, enc, mus, logvars, eps, z, dec, y, kls, cost, mu, rec, kl, loss
    )  # fmt: skip


def most_likely(logits, t, K):
    """The K classes to sum over for each row, one-hot (B,K,C): its label, if it has one, then the
    most likely ones; all classes in order if K = C."""
    xp, (B, C) = module(logits), logits.shape
    classes = xp.arange(C)
    if K == C:
        return xp.broadcast_to(xp.eye(C, dtype=logits.dtype), (B, C, C))
    tried = xp.empty((B, K, C), dtype=logits.dtype)
    left = xp.where(t > 0, inf, logits)
    for k in range(K):
        tried[:, k] = classes == left.argmax(axis=1)[:, None]
        left = xp.where(tried[:, k] > 0, -inf, left)
    return tried


def of_tried(tried, a):
    """The entries of a (B,C) for the classes tried (B,K,C)  ->  (B,K)"""
    return (tried * a[:, None]).sum(axis=2)


def backward(p, g, acts, ws, activation, likelihood, alpha, ramp, beta=1.0):
    """Writes into g the gradient of the mean loss over the batch, with ramp times the KL of z."""
    tried, Z = acts.tried, acts.z.shape[1]
    B, K, _ = tried.shape
    dloss = ws.full("dloss", 1 / B, B)
    # forward: loss = sum_k s cost + unlabelled beta unknown_class(cost / beta)
    #                 + alpha cross-entropy,  cost = rec + beta kl + a constant
    weight = ramp * beta
    dunknown = beta * dloss * (1 - acts.t.sum(axis=1))
    cost = (acts.cost - (1 - weight) * acts.kls) / beta
    dcost, some_logits = ws("dcost", B, K), of_tried(tried, acts.logits)
    dsome, dcost = losses.unknown_class_backward(dunknown, some_logits, cost, dcost=dcost)
    dlogits = losses.softmax_cross_entropy_backward(alpha * dloss, acts.logits, acts.t)
    dlogits += (tried * dsome[:, :, None]).sum(axis=1)
    dcost /= beta
    dcost += of_tried(tried, acts.t) * dloss[:, None]

    # the classifier
    h = acts.cls[-1]
    dh = ws("dcls", *h.shape)
    dh, _, _ = ops.linear_backward(dlogits, h, p.class_W, dx=dh, dW=g.class_W, db=g.class_b)
    mlp_backward(p, g, "cls", acts.cls, dh, activation, ws)

    # the conditional VAE of each class, weighted by dcost
    dcost = dcost.reshape(B * K)
    dy = losses.reconstruction_backward(p, g, dcost, acts.y, acts.x, ws, likelihood)
    dzy = vae.decode_backward(p, g, dy, acts.dec, ws, activation)
    dhead = vae.latent_backward(dcost, dzy[:, :Z], acts.mus, acts.logvars, acts.eps, ws, weight)
    encode_backward(p, g, dhead, acts, ws, activation)


def encode(p, x, tried, ws, activation):
    """x (B,D), tried (B,K,C)  ->  hidden layers, mu (BK,Z), logvar (BK,Z), of q(z|x,y)"""
    D, H = x.shape[1], p.first_W.shape[1]
    # rows of first_W: D for the pixels, then C for the labels
    W, V = p.first_W[:D], p.first_W[D:]
    a = ws("first", *tried.shape[:2], H)
    a = linear_each_class(x, W, V, p.first_b, tried, out=a).reshape(-1, H)
    f, _ = ACTIVATIONS[activation]
    return vae.encode(p, f(a, out=a), ws, activation)


def encode_backward(p, g, dhead, acts, ws, activation):
    """dhead (BK,2Z): the gradients of mu and logvar, side by side. x needs no gradient."""
    enc, x, tried = acts.enc, acts.cls[0], acts.tried
    D = x.shape[1]
    dh = ws("denc", *enc[-1].shape)
    dh, _, _ = ops.linear_backward(dhead, enc[-1], p.head_W, dx=dh, dW=g.head_W, db=g.head_b)
    da = mlp_backward(p, g, "enc", enc, dh, activation, ws, dx=ws("da", *enc[0].shape))
    _, f_backward = ACTIVATIONS[activation]
    # forward: enc[0] = f(a),  a = linear_each_class(x)
    da = f_backward(da, enc[0], dx=da).reshape(*tried.shape[:2], -1)
    W, dW, dV = p.first_W[:D], g.first_W[:D], g.first_W[D:]
    linear_each_class_backward(da, x, W, tried, dx=SKIP, dW=dW, dV=dV, db=g.first_b)


def linear_each_class(x, W, V, b, t, *, out=None):
    """y[n,k] = x[n] W + t[n,k] V + b: a linear layer of x joined with each of K one-hot classes.

    x (B,I)   W (I,O)   V (C,O)   b (O,)   t (B,K,C), the classes   ->   y (B,K,O)
    """
    xp, (B, K, C) = module(x), t.shape
    tV = xp.matmul(t.reshape(B * K, C), V).reshape(B, K, len(b))
    return xp.add(ops.linear(x, W, b)[:, None], tV, out=out)


@backward_of(linear_each_class, x="BI", W="IO", V="CO", b="O", t="BKC")
def linear_each_class_backward(dy, x, W, t, *, dx=None, dW=None, dV=None, db=None):
    """dL/dV[c,o] = sum_n sum_k t[n,k,c] dy[n,k,o]; the rest: `linear_backward` of sum_k dy[n,k]"""
    if dV is SKIP:
        dV = None
    else:
        flat_t, flat_dy = (a.reshape(-1, a.shape[2]) for a in (t, dy))
        dV = module(dy).matmul(flat_t.T, flat_dy, out=dV)
    dx, dW, db = ops.linear_backward(dy.sum(axis=1), x, W, dx=dx, dW=dW, db=db)
    return dx, dW, dV, db


@dataclass(eq=False, repr=False)
class SemiSupervisedVAE(Labelled):
    """M2: fit(X, y) with y = -1 where the label is unknown, then predict, predict_proba, sample.

    alpha    weight of the classifier's cross-entropy for each labelled row, relative to its bound.
             Kingma et al. use 0.1 N / (number of labelled rows).
    beta     weight of the KL of code and label. If it is larger early in training and 1 later, the
             label encodes what it can before the code does
    top      for unlabelled rows, sum only over this many most likely classes: faster, and still a
             bound on log p(x). None: all classes
    """

    alpha: float = 50.0
    beta: float = 1.0
    top: int | None = None

    kind = "m2"
    scheduled = True
    needs_labels = False

    def __sklearn_tags__(self):
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

    def check_config(self):
        finite_number(self.alpha, "alpha")
        finite_number(self.beta, "beta", above=0)
        if self.top is not None:
            whole_number(self.top, "top")
        super().check_config()
        if not self.hidden:
            raise InputError("SemiSupervisedVAE needs a hidden layer, such as hidden=(400,)")

    def _shapes(self):
        shapes = super()._shapes()
        (D, C), first = (self.n_features_, len(self.classes_)), self.hidden[0]
        shapes = {name: s for name, s in shapes.items() if not name.startswith("enc")}
        return {
            "first_W": (D + C, first),
            "first_b": (first,),
            **layer_shapes("enc", self.hidden),
            **layer_shapes("cls", (D, *self.hidden)),
            "class_W": (self.hidden[-1], C),
            "class_b": (C,),
            **shapes,
        }

    def _layers(self):
        every, n = slice(None), len(self.hidden)
        renamed = {f"enc{i}": f"enc{i - 1}" if i else "first" for i in range(n)}
        layers = [(renamed.get(own, own), torch, cols) for own, torch, cols in super()._layers()]
        layers += [(f"cls{i}", f"classifier.{1 + 2 * i}", every) for i in range(n)]
        return [*layers, ("class", f"classifier.{1 + 2 * n}", every)]

    def forward(self, xt, eps):
        x, t = self._split(xt)
        rest = self._ws, self.activation, self.likelihood, self.alpha, self.beta, self.top
        return forward(self.params_, x, t, eps, *rest)

    def backward(self, g, acts, ramp=1.0):
        rest = self._ws, self.activation, self.likelihood, self.alpha, ramp, self.beta
        backward(self.params_, g, acts, *rest)

    def example_losses(self, acts):
        return acts.rec + self.beta * acts.kl

    def mean_loss(self, acts):
        return acts.loss.mean()

    decoder = vae.VAE.decoder

    def _logits(self, xt):
        x, _ = self._split(xt)
        cls = mlp(self.params_, "cls", x, self.activation, self._ws)
        return ops.linear(cls[-1], self.params_.class_W, self.params_.class_b)

    def _label(self, xt):
        """The label of each row, one-hot; the most likely one for an unlabelled row."""
        _, t = self._split(xt)
        best = self._logits(xt).argmax(axis=1)[:, None]
        unlabelled = 1 - t.sum(axis=1, keepdims=True)
        return t + unlabelled * (module(t).arange(t.shape[1]) == best)

    def encoder(self, xt):
        """mu and logvar (B,Z) of q(z|x,y), with y from `_label`"""
        x, _ = self._split(xt)
        return encode(self.params_, x, self._label(xt)[:, None], self._ws, self.activation)[1:]

    def encode(self, X, y=None):
        """mu and logvar of q(z|x,y), both (N,Z); where y is -1, the most likely label is used."""
        return super().encode(X, y)

    def log_weight(self, xt, codes, eps):
        """log p(x,y,z) / q(z|x,y); log sum_y of that ratio for an unlabelled row. p(y) = 1/C"""
        x, t = self._split(xt)
        acts = forward(self.params_, x, t, eps, self._ws, self.activation, self.likelihood, 0)
        (B, C), xp = t.shape, module(x)
        rec = acts.cost - acts.kls - log(C)
        log_w = losses.log_prior_ratio(acts.z, acts.logvars, acts.eps).reshape(B, C) - rec
        unlabelled = t.sum(axis=1, keepdims=True) == 0
        return losses.log_mean_exp(xp.where(unlabelled | (t > 0), log_w, -inf))

    @reads
    def predict_proba(self, X):
        """q(y|x) of each row, in the order of `classes_`.        X (N,D)  ->  (N,C)"""
        return self.probabilities(self.check(X))

    def probabilities(self, rows):
        """`predict_proba` of rows as `check` returns them."""
        return self.map_rows(self._probabilities, rows)[0]

    def _probabilities(self, xt):
        log_q = losses.log_softmax(self._logits(xt))
        return (module(log_q).exp(log_q),)

    @reads
    def predict(self, X):
        """The most likely label of each row.        X (N,D)  ->  (N,)"""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def score(self, X, y=None):
        """The accuracy on the labelled rows; without y, the mean of `score_samples`."""
        if y is None:
            return super().score(X)
        best = self.predict(X)
        y = self.check_labels(y, len(best))
        labelled = ~missing(y)
        if not labelled.any():
            raise InputError("no row of y has a label, so there is no accuracy to compute")
        return float((best == y)[labelled].mean())
