"use strict";
// The two checks of a model, at its weights of the moment:
//   differences   whether backward is the gradient of the loss that forward computes
//   meaning       whether that loss is the one of a VAE

const STEP = 1e-4, LIMIT = 1e-5, DRAWS = 600, ERRORS = 5;

// The weights, but with mu near 1 and logvar near -1: at 0 a missing term would not show, and
// where they are huge, as some bugs make them, rounding would
function moderate(p, x) {
  const [, head] = encode(p, x), scale = 1 / Math.max(1, ...head.map(Math.abs));
  const head_b = p.head_b.map((b, o) => scale * b + (o < Z ? 1 : -1));
  return { ...p, head_W: p.head_W.map((w) => scale * w), head_b };
}

// log sigmoid(l) by its definition: accurate, as `sigmoid` is not, below -30, and finite
const logSigmoid = (l) => Math.log(Math.max(1 / (1 + Math.exp(-l)), Number.MIN_VALUE));
const norm = (a) => Math.sqrt(a.reduce((sum, v) => sum + v * v, 0));

// Of each parameter W: (loss(W + h v) - loss(W - h v)) / 2h against dW . v, v a random unit vector
function differences(weights, x, eps, beta, bug, normal) {
  const p = moderate(weights, x), g = {};
  for (const name in p) g[name] = new Float64Array(p[name].length);
  backward(p, g, forward(p, x, eps, beta, bug), beta, bug, normal);
  return Object.keys(p).map((name) => {
    const random = p[name].map(normal), length = norm(random), v = random.map((r) => r / length);
    const loss = (h) =>
      forward({ ...p, [name]: p[name].map((w, i) => w + h * v[i]) }, x, eps, beta, bug).loss;
    const slope = (loss(STEP) - loss(-STEP)) / (2 * STEP);
    const hand = v.reduce((sum, r, i) => sum + r * g[name][i], 0);
    // a slope can be 0 by chance: its size is that of a random direction
    const size = Math.max(Math.abs(slope), norm(g[name]) / Math.sqrt(v.length));
    const error = Math.abs(hand - slope) / size;
    return { name, hand, slope, error, passed: error < LIMIT };
  });
}

// Each part of the loss against its definition, computed in another way
function meaning(weights, x, eps, bug, normal) {
  const p = moderate(weights, x), [, head] = encode(p, x), B = eps.length / Z;
  const loss = (beta) => forward(p, x, eps, beta, bug).loss;
  // the model's samples, and log q(z|x) - log p(z) at samples of N(mu, exp(logvar)) drawn here
  let squares = 0, ratios = 0, ratios2 = 0;
  for (let draw = 0; draw < DRAWS; draw++) {
    const z = reparameterize(head, eps.map(normal), bug);
    for (let n = 0; n < B; n++) {
      let ratio = 0;
      for (let j = 0; j < Z; j++) {
        const mu = head[2 * Z * n + j], variance = Math.exp(head[2 * Z * n + Z + j]);
        const u = normal(), own = mu + Math.sqrt(variance) * u;
        squares += (z[Z * n + j] - mu) ** 2 / variance;
        ratio += (own * own - u * u - Math.log(variance)) / 2;
      }
      ratios += ratio;
      ratios2 += ratio * ratio;
    }
  }
  const N = DRAWS * B, kl = ratios / N, std = Math.sqrt(squares / (N * Z));
  const error = Math.sqrt((ratios2 / N - kl * kl) / N);
  // -log p(x|z) of probabilities q
  const { y } = forward(p, x, eps, 0, bug);
  const nats = y.reduce(
    (sum, l, i) => sum - x[i] * logSigmoid(l) - (1 - x[i]) * logSigmoid(-l), 0) / B;
  const charged = loss(2) - loss(1), rec = loss(0);
  return [
    { name: "samples", found: std, expected: 1, limit: ERRORS / Math.sqrt(2 * N * Z) },
    { name: "KL", found: charged, expected: kl, limit: ERRORS * error },
    { name: "reconstruction", found: rec, expected: nats, limit: 1e-9 * nats },
  ].map((row) => ({ ...row, passed: Math.abs(row.found - row.expected) <= row.limit }));
}
