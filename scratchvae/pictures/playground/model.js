"use strict";
// A VAE that trains: models/vae.py, the ops of ops.py that it needs, and Adam of train/optim.py.
// Names are theirs: p holds the parameters, g their gradients, dq is the gradient of q. A matrix is
// a Float64Array, row after row: x (B,D), W (I,O). One hidden layer of tanh on each side, two
// latent units, Bernoulli pixels. `bug` holds switches; with none of them, the model is right.
//
// bug.std      forward and backward   exp(logvar) for exp(logvar/2), as the standard deviation
// bug.half     backward               the half of the derivative of exp(logvar/2) forgotten
// bug.redrawn  backward               other noise than in forward
// bug.sign     backward               the sign of the KL's gradient by logvar
// bug.dropped  forward and backward   no KL
// bug.mean     forward and backward   a mean over the pixels instead of a sum
// Differences see those in backward alone: the others are also in forward, and agree with it.

const Z = 2;

// ---------------------------------------------------------------------------------------- ops

const sigmoid = (x) => 0.5 * Math.tanh(0.5 * x) + 0.5;
const like = (a) => new Float64Array(a.length);
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

// y = x W + b        x (B,I)   W (I,O)   b (O)   ->   y (B,O)
function linear(x, W, b) {
  const O = b.length, I = W.length / O, y = new Float64Array((x.length / I) * O);
  for (let n = 0; n * I < x.length; n++) {
    const row = y.subarray(n * O, (n + 1) * O);
    row.set(b);
    for (let i = 0; i < I; i++) {
      const xi = x[n * I + i];
      if (xi !== 0) for (let o = 0, w = i * O; o < O; o++, w++) row[o] += xi * W[w];
    }
  }
  return y;
}

// dx = dy W^T,  dW = x^T dy,  db = 1^T dy        writes dW and db, and into dx unless it is SKIP
const SKIP = new Float64Array(0);

function linearBackward(dy, x, W, dW, db, dx) {
  const O = db.length, I = W.length / O;
  dW.fill(0), db.fill(0);
  for (let n = 0; n * I < x.length; n++) {
    const row = dy.subarray(n * O, (n + 1) * O);
    for (let o = 0; o < O; o++) db[o] += row[o];
    for (let i = 0; i < I; i++) {
      const xi = x[n * I + i];
      if (xi !== 0) for (let o = 0, w = i * O; o < O; o++, w++) dW[w] += xi * row[o];
    }
    for (let k = n * I; k < dx.length && k < (n + 1) * I; k++) {
      let sum = 0;
      for (let o = 0, w = (k - n * I) * O; o < O; o++, w++) sum += row[o] * W[w];
      dx[k] = sum;
    }
  }
  return dx;
}

// y = tanh(x):  dx = dy (1 - y^2)
const tanhBackward = (dy, y) => dy.map((d, i) => d * (1 - y[i] * y[i]));

// z = mu + exp(logvar/2) eps        head (B,2Z) is mu and logvar side by side   ->   z (B,Z)
function reparameterize(head, eps, bug) {
  return eps.map((e, k) => {
    const at = 2 * k - (k % Z), mu = head[at], logvar = head[at + Z];
    return mu + Math.exp(bug.std ? logvar : logvar / 2) * e;
  });
}

// -------------------------------------------------------------------------------------- model

// x (B,D)  ->  hidden layer (B,H), head (B,2Z)
function encode(p, x) {
  const enc = linear(x, p.enc0_W, p.enc0_b).map(Math.tanh);
  return [enc, linear(enc, p.head_W, p.head_b)];
}

// z (B,Z)  ->  hidden layer (B,H), logits y (B,D)
function decode(p, z) {
  const dec = linear(z, p.dec0_W, p.dec0_b).map(Math.tanh);
  return [dec, linear(dec, p.out_W, p.out_b)];
}

// x (B,D), eps (B,Z)  ->  the losses in nats, means over the batch, and what backward reads
function forward(p, x, eps, beta, bug = {}) {
  const B = eps.length / Z, D = p.out_b.length;
  const [enc, head] = encode(p, x);
  const z = reparameterize(head, eps, bug);
  const [dec, y] = decode(p, z);
  let rec = 0, kl = 0;
  for (let i = 0; i < x.length; i++) rec += softplus(y[i]) - x[i] * y[i];
  for (let k = 0; k < eps.length; k++) {
    const at = 2 * k - (k % Z), mu = head[at], logvar = head[at + Z];
    kl += (mu * mu + Math.expm1(logvar) - logvar) / 2;
  }
  rec /= bug.mean ? B * D : B;
  kl /= B;
  const loss = bug.dropped ? rec : rec + beta * kl;
  return { x, enc, head, eps, z, dec, y, rec, kl, loss };
}

// Forward read from the bottom up: writes into g the gradient of the loss; returns dz and dhead.
// normal() is for bug.redrawn.
function backward(p, g, acts, beta, bug = {}, normal) {
  const { x, enc, head, eps, z, dec, y } = acts, B = eps.length / Z, D = p.out_b.length;
  const drec = bug.mean ? 1 / (B * D) : 1 / B;
  const dkl = bug.dropped ? 0 : beta / B;
  // forward: rec = sum_d softplus(y) - x y
  const dy = y.map((l, i) => drec * (sigmoid(l) - x[i]));
  // forward: dec = tanh(z W + b),  y = dec W + b
  const ddec = linearBackward(dy, dec, p.out_W, g.out_W, g.out_b, like(dec));
  const dz = linearBackward(tanhBackward(ddec, dec), z, p.dec0_W, g.dec0_W, g.dec0_b, like(z));
  // forward: z = mu + exp(logvar/2) eps,  kl = (mu^2 + exp(logvar) - 1 - logvar) / 2
  const dhead = like(head);
  for (let k = 0; k < eps.length; k++) {
    const at = 2 * k - (k % Z), mu = head[at], logvar = head[at + Z];
    const e = bug.redrawn ? normal() : eps[k];
    const dstd = bug.std ? Math.exp(logvar) : Math.exp(logvar / 2) / (bug.half ? 1 : 2);
    // mu and logvar are used twice, in z and in kl, so their gradients add
    dhead[at] = dz[k] + dkl * mu;
    dhead[at + Z] = dz[k] * dstd * e + ((bug.sign ? -dkl : dkl) * Math.expm1(logvar)) / 2;
  }
  // forward: enc = tanh(x W + b),  head = enc W + b
  const denc = linearBackward(dhead, enc, p.head_W, g.head_W, g.head_b, like(enc));
  linearBackward(tanhBackward(denc, enc), x, p.enc0_W, g.enc0_W, g.enc0_b, SKIP);
  return { dz, dhead };
}

// ----------------------------------------------------------------------------------- training

// Normal random numbers from a seed: mulberry32, then Box and Muller
function normalFrom(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

// The parameters by name, views of one vector
function views(vector, D, H) {
  const sizes = {
    enc0_W: D * H, enc0_b: H, head_W: H * 2 * Z, head_b: 2 * Z,
    dec0_W: Z * H, dec0_b: H, out_W: H * D, out_b: D,
  };
  const p = {};
  let first = 0;
  for (const name in sizes) p[name] = vector.subarray(first, (first += sizes[name]));
  return p;
}

const count = (D, H) => 2 * D * H + 2 * H + H * 2 * Z + 2 * Z + Z * H + D;

// Parameters uniform in +-1/sqrt(fan in), as in PyTorch
function build(D, H, uniform) {
  const vector = new Float64Array(count(D, H)), p = views(vector, D, H);
  const fanIn = { enc0: D, head: H, dec0: Z, out: H };
  for (const name in p) {
    const limit = 1 / Math.sqrt(fanIn[name.slice(0, -2)]);
    p[name].forEach((_, i) => { p[name][i] = limit * (2 * uniform() - 1); });
  }
  return { vector, p };
}

// m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2,  p -= lr (m / c1) / (sqrt(v / c2) + eps)
function adam(state, p, g, lr) {
  const { m, v } = state, t = (state.t += 1), c1 = 1 - 0.9 ** t, c2 = 1 - 0.999 ** t;
  for (let i = 0; i < p.length; i++) {
    m[i] = 0.9 * m[i] + 0.1 * g[i];
    v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
    p[i] -= (lr * (m[i] / c1)) / (Math.sqrt(v[i] / c2) + 1e-8);
  }
}
