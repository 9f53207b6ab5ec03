"use strict";
// The second tab: forward and backward of models/vae.py for one example of two pixels, with one
// hidden unit (tanh) on each side and one latent unit. The derivatives are those of ops.py.

(() => {
  const START = {
    "x[0]": 0.9, "x[1]": 0.2, eps: 0.7,
    "enc0_W[0,0]": 0.9, "enc0_W[1,0]": -0.7, "enc0_b[0]": 0.1,
    "head_W[0,0]": 1.2, "head_b[0]": 0.2, "head_W[0,1]": -0.6, "head_b[1]": -0.8,
    "dec0_W[0,0]": 1.1, "dec0_b[0]": -0.2,
    "out_W[0,0]": 1.5, "out_b[0]": 0.3, "out_W[0,1]": -1.3, "out_b[1]": 0.1,
  };
  const REDRAWN = -1.1; // the noise of backward, where it is drawn again
  const given = { ...START }, losses = [], knobs = document.querySelectorAll("[data-knob]");

  // nudge adds to one value, where it is computed: a slope needs the loss on both sides of it
  function forward(nudge = {}) {
    const a = {};
    const set = (name, value) => (a[name] = value + (nudge[name] || 0));
    for (const name in given) set(name, given[name]);
    set("enc1", Math.tanh(
      a["x[0]"] * a["enc0_W[0,0]"] + a["x[1]"] * a["enc0_W[1,0]"] + a["enc0_b[0]"]));
    set("mu", a.enc1 * a["head_W[0,0]"] + a["head_b[0]"]);
    set("logvar", a.enc1 * a["head_W[0,1]"] + a["head_b[1]"]);
    for (const way of ["z", "kl"]) set(`mu_${way}`, a.mu), set(`logvar_${way}`, a.logvar);
    set("z", a.mu_z + Math.exp(a.logvar_z / 2) * a.eps);
    set("dec1", Math.tanh(a.z * a["dec0_W[0,0]"] + a["dec0_b[0]"]));
    set("y[0]", a.dec1 * a["out_W[0,0]"] + a["out_b[0]"]);
    set("y[1]", a.dec1 * a["out_W[0,1]"] + a["out_b[1]"]);
    set("rec", softplus(a["y[0]"]) - a["y[0]"] * a["x[0]"]
             + softplus(a["y[1]"]) - a["y[1]"] * a["x[1]"]);
    set("kl", (a.mu_kl * a.mu_kl + Math.exp(a.logvar_kl) - 1 - a.logvar_kl) / 2);
    set("loss", a.rec + a.kl);
    return a;
  }

  // forward read from the bottom up: g.q is dq, the gradient of the loss with respect to q
  function backward(a, bug) {
    const forget = bug === "forget", eps = bug === "noise" ? REDRAWN : a.eps;
    const g = { loss: 1, rec: 1, kl: 1 };
    g.mu_kl = g.kl * a.mu;
    g.logvar_kl = g.kl * (Math.exp(a.logvar) - 1) / 2;
    for (const d of [0, 1]) {
      const dy = g[`y[${d}]`] = g.rec * (sigmoid(a[`y[${d}]`]) - a[`x[${d}]`]);
      g[`out_W[0,${d}]`] = a.dec1 * dy;
      g[`out_b[${d}]`] = dy;
    }
    g.dec1 = g["y[0]"] * a["out_W[0,0]"] + g["y[1]"] * a["out_W[0,1]"];
    const da = g["dec0_b[0]"] = g.dec1 * (1 - a.dec1 ** 2);
    g["dec0_W[0,0]"] = a.z * da;
    g.z = da * a["dec0_W[0,0]"];
    g.mu_z = g.z;
    g.logvar_z = g.z * Math.exp(a.logvar / 2) * eps * (bug === "half" ? 1 : 1 / 2);
    // mu and logvar go two ways, into z and into kl, so their gradients add
    g.mu = g.mu_z + (forget ? 0 : g.mu_kl);
    g.logvar = g.logvar_z + (forget ? 0 : g.logvar_kl);
    [g.mu, g.logvar].forEach((dhead, o) => {
      g[`head_W[0,${o}]`] = a.enc1 * dhead;
      g[`head_b[${o}]`] = dhead;
    });
    g.enc1 = g.mu * a["head_W[0,0]"] + g.logvar * a["head_W[0,1]"];
    const denc = g["enc0_b[0]"] = g.enc1 * (1 - a.enc1 ** 2);
    for (const i of [0, 1]) g[`enc0_W[${i},0]`] = a[`x[${i}]`] * denc;
    return g;
  }

  // every value by its name, and of all but x and eps the gradient by hand and by differences
  function rows(h = 1e-5) {
    const a = forward(), g = backward(a, $("bug").value);
    return Object.keys(a).map((name) => ({
      name, value: a[name], hand: g[name],
      slope: (forward({ [name]: h }).loss - forward({ [name]: -h }).loss) / (2 * h),
    }));
  }

  function show() {
    const found = rows(), wrong = [];
    for (const row of found) {
      const off = Math.abs(row.hand - row.slope) > 1e-6;
      if (off) wrong.push(`d${row.name}`);
      for (const place of document.querySelectorAll(`[data-of="${row.name}"]`)) {
        place.textContent = row[place.getAttribute("class")].toFixed(4).replace("-", "−");
        place.closest("tr, text")?.classList.toggle("wrong", off);
      }
    }
    for (const knob of knobs) knob.value = given[knob.dataset.knob];
    $("verdict").textContent = wrong.length ? `Wrong: ${wrong.join(", ")}.`
      : `All ${found.length - 3} gradients by hand agree with their slopes.`;
    drawLosses();
  }

  // The loss after each step since a value was changed
  function drawLosses() {
    const most = Math.max(...losses), range = most - Math.min(...losses) || 1;
    const n = losses.length - 1, [first, last] = [losses[0], losses[n]].map((v) => v.toFixed(4));
    const place = (loss, i) => [(300 * i) / Math.max(n, 1), 6 + (62 * (most - loss)) / range];
    $("losses").querySelector("polyline").setAttribute("points", losses.map(place).join(" "));
    $("losses").querySelector(".start").textContent = `step 0: loss ${first}`;
    $("losses").querySelector(".end").textContent = n ? `step ${n}: loss ${last}` : "";
    $("losses").setAttribute("aria-label", `The loss, ${first} at first, ${last} after ${n} steps`);
  }

  function restart() {
    losses.splice(0, Infinity, forward().loss);
    show();
  }

  function step(times) {
    for (let k = 0; k < times; k++) {
      for (const { name, hand = 0 } of rows()) if (name in given) given[name] -= 0.1 * hand;
      losses.push(forward().loss);
    }
    show();
  }

  for (const knob of knobs)
    knob.oninput = () => { given[knob.dataset.knob] = Number(knob.value); restart(); };
  $("bug").onchange = show;
  $("reset").onclick = () => { Object.assign(given, START); restart(); };
  $("step").onclick = () => step(1);
  $("steps").onclick = () => step(50);
  restart();
  window.gradient = { rows, losses };
})();
