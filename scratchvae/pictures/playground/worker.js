"use strict";
// Trains in a thread of its own. A message says what to change and how long to train; the answer
// holds what the page draws. The page sets the pace, so a hidden page trains nothing.

const TILES = 14; // of the plane, decoded, in each direction
let digits, now; // pixels in [0, 1]: train (N,D), test (T,D); and the state of training

const pixels = (bytes) => Float64Array.from(bytes, (v) => v / 255);
const bytesOf = (logits) => Uint8ClampedArray.from(logits, (l) => 255 * sigmoid(l));

function start({ hidden, seed }) {
  const D = digits.D, random = normalFrom(seed), { vector, p } = build(D, hidden, random.uniform);
  const gradient = like(vector), state = { m: like(vector), v: like(vector), t: 0 };
  const g = views(gradient, D, hidden);
  const draw = normalFrom(seed + 1).normal; // the checks' own: they do not change the training
  now = { ...random, draw, vector, p, gradient, g, state, reach: 3, frame: 0 };
}

// A batch of random digits, its noise, and the gradients of the loss; an autoencoder has no noise
function gradients({ batch, beta, noise, bug }) {
  const { train, D } = digits, { p, g, uniform, normal } = now, x = new Float64Array(batch * D);
  for (let n = 0; n < batch; n++) {
    const row = Math.floor((uniform() * train.length) / D);
    x.set(train.subarray(row * D, (row + 1) * D), n * D);
  }
  const eps = new Float64Array(batch * Z).map(noise ? normal : () => 0);
  const acts = forward(p, x, eps, beta, bug);
  const { dz, dhead } = backward(p, g, acts, beta, bug, normal);
  const half = (of) => norm(dhead.filter((_, k) => (k % (2 * Z) < Z) === of));
  now.norms = { z: norm(dz), mu: half(true), logvar: half(false) };
  for (const name in g) now.norms[name] = norm(g[name]);
  return [acts.loss, acts.rec, acts.kl];
}

function checks({ beta, noise, bug }) {
  const { p, draw } = now, x = digits.test.subarray(0, 20 * digits.D);
  const eps = new Float64Array(20 * Z).map(noise ? draw : () => 0);
  const rows = meaning(p, x, eps, bug, draw);
  return {
    differences: differences(p, x, eps, beta, bug, draw),
    meaning: noise ? rows : rows.slice(-1), // without noise nor KL, there is but the last
  };
}

// The half width of the plane, which follows the codes; and the digits decoded on it
function tiles(head) {
  const edge = head.map((_, k) =>
    k % (2 * Z) < Z ? Math.abs(head[k]) + 2 * Math.exp(head[k + Z] / 2) : 0);
  now.reach += 0.15 * (Math.min(1e3, Math.max(2, ...edge) + 0.2) - now.reach);
  if (now.frame++ % 5) return {};
  const z = new Float64Array(TILES * TILES * Z);
  for (let row = 0, k = 0; row < TILES; row++)
    for (let column = 0; column < TILES; column++) {
      z[k++] = now.reach * ((2 * column + 1) / TILES - 1);
      z[k++] = now.reach * (1 - (2 * row + 1) / TILES);
    }
  return { tiles: bytesOf(decode(now.p, z)[1]), tilesReach: now.reach };
}

self.onmessage = ({ data: { settings, given, restart, steps = 0, ms = 0, check } }) => {
  const until = performance.now() + ms, beta = settings.noise ? settings.beta : 0;
  const chosen = { ...settings, beta }, losses = [];
  if (given) digits = { ...given, train: pixels(given.train), test: pixels(given.test) };
  if (restart) start(chosen), gradients(chosen);
  for (let k = 0; k < steps || performance.now() < until; k++) {
    losses.push(gradients(chosen));
    adam(now.state, now.vector, now.gradient, settings.lr);
  }
  const [, head] = encode(now.p, digits.test);
  const mu = Float64Array.from({ length: digits.shown * Z }, (_, k) => head[2 * k - (k % Z)]);
  self.postMessage({
    step: now.state.t, losses, head, norms: now.norms, ...tiles(head), reach: now.reach, restart,
    images: bytesOf(decode(now.p, mu)[1]), checks: check && checks(chosen),
  });
};
