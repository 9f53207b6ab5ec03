"use strict";
// The decoder of models/vae.py and the mean of models/losses.py, for one code z instead of a batch.
// Names are theirs: p holds the parameters, h the hidden layers; W is (I,O), row after row.

// y = x W + b
function linear(x, W, b) {
  const O = b.length, y = Float32Array.from(b);
  for (let i = 0; i < x.length; i++)
    if (x[i] !== 0) for (let o = 0; o < O; o++) y[o] += x[i] * W[i * O + o];
  return y;
}

const sigmoid = (x) => 0.5 * Math.tanh(0.5 * x) + 0.5;
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const ACTIVATIONS = { relu: (x) => Math.max(x, 0), tanh: Math.tanh, softplus };

// h_0 = x,  h_{i+1} = f(h_i W_i + b_i)
function mlp(p, name, x, activation) {
  const f = ACTIVATIONS[activation], hs = [x];
  for (let i = 0; `${name}${i}_W` in p; i++)
    hs.push(linear(hs[i], p[`${name}${i}_W`], p[`${name}${i}_b`]).map(f));
  return hs;
}

// z (Z)  ->  hidden layers, y (D)
function decode(p, z, activation) {
  const dec = mlp(p, "dec", z, activation);
  return [dec, linear(dec[dec.length - 1], p.out_W, p.out_b)];
}

// The mean of p(x|z): y are logits (Bernoulli) or means (Gaussian)
function mean(y, likelihood) {
  if (likelihood === "bernoulli") return y.map(sigmoid);
  return likelihood === "continuous_bernoulli" ? y.map(continuous_bernoulli_mean) : y;
}

// 1 / (1 - exp(-l)) - 1/l, which loses its digits near 0; there, its series
function continuous_bernoulli_mean(l) {
  const s = l * l;
  if (Math.abs(l) < 0.1) return 0.5 + l * (1 / 12 - s * (1 / 720 - s / 30240));
  return -1 / Math.expm1(-l) - 1 / l;
}

// What the page holds as text: float16 or float32, little-endian
function floats(text, bits) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return bits === 32 ? new Float32Array(bytes.buffer)
                     : Float32Array.from(new Uint16Array(bytes.buffer), float16);
}

// One bit of sign, five of exponent, ten of fraction
function float16(u) {
  const sign = u & 0x8000 ? -1 : 1, exponent = (u >> 10) & 31, fraction = u & 1023;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}
