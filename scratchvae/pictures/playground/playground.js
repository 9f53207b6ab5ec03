"use strict";
// The page: it asks the worker for some training, and draws what comes back, a frame at a time.

const $ = (id) => document.getElementById(id);

(() => {
  const data = JSON.parse($("data").textContent), { side, y } = data, SHOWN = 10, LONGEST = 400;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const fromText = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const given = { train: fromText(data.train), test: fromText(data.test), D: side * side, shown: SHOWN };
  const at = { todo: {}, busy: false, playing: false, drawing: 0, frames: 0, history: [], every: 1 };
  const code = ["model", "checks", "worker"].map((name) => $(name).textContent).join("\n");
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));

  const bugs = () =>
    Object.fromEntries(BUGS.map(({ name }) => [name, $(`bug-${name}`).checked]));
  const settings = () => ({
    beta: 2 ** $("beta").value, lr: 10 ** $("lr").value, noise: $("noise").checked, bug: bugs(),
    batch: Number($("batch").value), hidden: Number($("hidden").value), seed: Number($("seed").value),
  });

  // One request at a time: what is asked for meanwhile goes into the next
  function ask(more) {
    Object.assign(at.todo, more);
    if (at.busy) return;
    worker.postMessage({ settings: settings(), ...at.todo });
    at.todo = {};
    at.busy = true;
  }

  worker.onmessage = ({ data: frame }) => {
    at.busy = false;
    if (frame.restart) Object.assign(at, { history: [], every: 1, tail: [] });
    for (const losses of frame.losses) remember(losses);
    Object.assign(at, { ...frame, checks: frame.checks || at.checks, tiles: frame.tiles || at.tiles });
    if (frame.checks) judge();
    if (!Number.isFinite(at.last?.[0] ?? 0)) play(false);
    if (Object.keys(at.todo).length) ask({});
    at.drawing ||= requestAnimationFrame(draw);
  };

  // The history keeps a mean of so many steps; when it is long, of twice as many
  function remember(losses) {
    at.last = losses;
    at.tail.push(losses);
    if (at.tail.length < at.every) return;
    at.history.push(average(at.tail));
    at.tail = [];
    if (at.history.length < LONGEST) return;
    at.history = at.history.flatMap((_, i, all) => i % 2 ? [average([all[i - 1], all[i]])] : []);
    at.every *= 2;
  }

  const average = (rows) => rows[0].map((_, k) => rows.reduce((s, row) => s + row[k], 0) / rows.length);
  const signed = (v, digits = 2) => v.toFixed(digits).replace("-", "−");
  const short = (v) => !v ? "0" : v < 0.001 || v >= 1e4 ? v.toExponential(0) : String(Number(v.toPrecision(2)));
  const hue = (c) => `hsl(${36 * c} 70% ${c % 2 ? 60 : 44}%)`;

  function canvas(id) {
    const own = $(id), { clientWidth: width, clientHeight: height } = own, g = own.getContext("2d");
    own.width = width * devicePixelRatio;
    own.height = height * devicePixelRatio;
    g.scale(devicePixelRatio, devicePixelRatio);
    return { g, width, height };
  }

  const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`);

  // Images of ink, side by side in a picture of so many columns; shade: a colour as [r, g, b]
  function sheet(images, columns, gap = 0) {
    const n = images.length / side ** 2, pitch = side + gap, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const picture = new OffscreenCanvas(columns * pitch, Math.ceil(n / columns) * pitch);
    const g = picture.getContext("2d"), image = new ImageData(side, side);
    image.data.fill(dark ? 255 : 0);
    for (let k = 0; k < n; k++) {
      for (let i = 0; i < side ** 2; i++) image.data[4 * i + 3] = images[k * side ** 2 + i];
      g.putImageData(image, (k % columns) * pitch, Math.floor(k / columns) * pitch);
    }
    return picture;
  }

  function drawPlane() {
    const { g, width: size } = canvas("plane"), unit = size / 2 / at.reach, ink = colour("ink");
    const place = (z0, z1) => [size / 2 + unit * z0, size / 2 - unit * z1];
    const edge = unit * at.tilesReach;
    g.globalAlpha = 0.3;
    g.drawImage(at.sheet, size / 2 - edge, size / 2 - edge, 2 * edge, 2 * edge);
    g.globalAlpha = 1;
    Object.assign(g, { strokeStyle: colour("soft"), lineWidth: 1 }).setLineDash([4, 4]);
    for (const radius of [1, 2]) g.beginPath(), g.arc(size / 2, size / 2, radius * unit, 0, 7), g.stroke();
    g.setLineDash([]);
    Object.assign(g, { font: "bold 13px sans-serif", textAlign: "center", textBaseline: "middle" });
    y.forEach((c, n) => {
      const [mu0, mu1, logvar0, logvar1] = at.head.subarray(4 * n, 4 * n + 4), [a, b] = place(mu0, mu1);
      Object.assign(g, { fillStyle: hue(c), strokeStyle: hue(c), lineWidth: 1.5, globalAlpha: 0.25 });
      if ($("noise").checked) {
        g.beginPath();
        g.ellipse(a, b, unit * Math.exp(logvar0 / 2), unit * Math.exp(logvar1 / 2), 0, 0, 7);
        g.fill(), g.globalAlpha = 0.9, g.stroke();
      }
      g.globalAlpha = 1;
      Object.assign(g, { strokeStyle: colour("panel"), lineWidth: 3 }), g.strokeText(c, a, b);
      g.fillText(c, a, b);
    });
    g.fillStyle = ink;
  }

  function drawLosses() {
    const { g, width, height } = canvas("losses"), rows = at.history, left = 34, low = height - 18;
    const top = Math.min(400, Math.max(10, ...rows.map(([loss]) => loss || 0), ...rows.map((r) => r[1] || 0)));
    const up = (v) => low - (low - 6) * Math.min(1.02, Math.max(0, v / top));
    const tick = 10 ** Math.floor(Math.log10(top)), line = top / tick < 2 ? tick / 2 : top / tick > 5 ? 2 * tick : tick;
    Object.assign(g, { font: "11px sans-serif", textAlign: "right", textBaseline: "middle" });
    for (let v = 0; v <= top; v += line) {
      g.fillStyle = colour("line"), g.fillRect(left, up(v), width - left, 1);
      g.fillStyle = colour("soft"), g.fillText(v, left - 6, up(v));
    }
    g.fillText(`${at.step.toLocaleString("en")} steps`, width, low + 10);
    ["ink", "rec", "kl"].forEach((name, k) => {
      Object.assign(g, { strokeStyle: colour(name), lineWidth: 2, lineJoin: "round" });
      g.beginPath();
      rows.forEach((row, i) => g.lineTo(left + ((width - left) * (i + 1)) / rows.length, up(row[k])));
      g.stroke();
    });
  }

  function drawDigits() {
    const own = $("digits"), both = new Uint8Array([...given.test.subarray(0, at.images.length), ...at.images]);
    const picture = sheet(both, SHOWN, 1);
    Object.assign(own, { width: picture.width, height: picture.height }).getContext("2d").drawImage(picture, 0, 0);
  }

  function draw() {
    at.drawing = 0;
    if (at.playing) {
      const check = at.frames++ % 40 === 0;
      if (calm) setTimeout(() => at.playing && ask({ ms: 200, check: true }), 600);
      else ask({ ms: check ? 0 : 10, check });
    }
    at.sheet = sheet(at.tiles, Math.sqrt(at.tiles.length) / side);
    drawPlane(), drawLosses(), drawDigits();
    $("steps").textContent = at.step.toLocaleString("en");
    ["loss", "rec", "kl"].forEach((id, k) => { $(id).textContent = at.last ? signed(at.last[k]) : "–"; });
    for (const place of document.querySelectorAll("[data-norm]")) place.textContent = short(at.norms[place.dataset.norm]);
    const most = Math.max(...Object.values(at.norms));
    for (const wire of document.querySelectorAll("[data-wire]"))
      wire.style.strokeWidth = 1 + (7 * at.norms[wire.dataset.wire]) / most;
  }

  // What the checks have found, in words, in colours, and in the diagram
  function judge() {
    const { differences: slopes, meaning: parts } = at.checks;
    const said = {
      samples: (row) => `the samples spread by ${row.found.toFixed(3)} of exp(logvar/2)`,
      KL: (row) => `KL: the loss charges ${row.found.toFixed(3)}, its definition gives ${row.expected.toFixed(3)}`,
      reconstruction: (row) => `reconstruction: ${row.found.toFixed(2)} in the loss, −log p(x|z) is ${row.expected.toFixed(2)}`,
    };
    list("differences", slopes, (row) => `${row.name} ${row.error.toExponential(0).replace("-", "−")}`, "agree", "disagree");
    list("meaning", parts, (row) => said[row.name](row), "as defined", "not as defined");
    for (const row of slopes)
      document.querySelector(`[data-name="${row.name}"]`).classList.toggle("unseen", !row.passed);
    const wrong = slopes.filter((row) => !row.passed).map((row) => row.name), odd = parts.filter((row) => !row.passed);
    const text = wrong.length ? `Finite differences disagree in ${wrong.join(", ")}` : "Finite differences agree";
    const more = odd.length ? `the meaning check fails: ${odd.map((row) => row.name).join(", ")}` : "the meaning check passes";
    const all = `${text}; ${more}.`;
    if ($("verdict").textContent !== all) $("verdict").textContent = all;
  }

  function list(id, rows, text, good, bad) {
    const passed = rows.every((row) => row.passed);
    $(id).classList.toggle("passed", passed), $(id).classList.toggle("failed", !passed);
    $(id).querySelector("h2 b").textContent = passed ? `✓ ${good}` : `✗ ${bad}`;
    $(id).querySelector("ul").replaceChildren(...rows.map((row) =>
      Object.assign(document.createElement("li"), { textContent: text(row), className: row.passed ? "" : "failed" })));
  }

  function play(on) {
    at.playing = on;
    $("play").textContent = on ? "pause" : "play";
    if (on) ask({ check: true });
  }

  const step = () => { play(false); ask({ steps: 1, check: true }); };
  const restart = () => ask({ restart: true, check: true });

  for (const bug of BUGS) {
    const part = $("bug").content.firstElementChild.cloneNode(true), box = part.querySelector("input");
    part.querySelector("span").textContent = bug.title;
    for (const name of ["right", "wrong"]) part.querySelector(`.${name}`).textContent = bug[name];
    part.querySelector("p").textContent = bug.why;
    box.id = `bug-${bug.name}`;
    box.onchange = () => {
      part.classList.toggle("on", box.checked);
      part.querySelector("p").hidden = !box.checked;
      ask({ check: true });
    };
    $("bugs").append(part);
  }

  function show() {
    $("beta-value").textContent = short(2 ** $("beta").value);
    $("lr-value").textContent = short(10 ** $("lr").value);
  }

  $("play").onclick = () => play(!at.playing);
  $("step").onclick = step;
  $("restart").onclick = $("hidden").onchange = $("seed").onchange = restart;
  for (const id of ["beta", "lr"]) $(id).oninput = () => { show(); ask({ check: true }); };
  $("batch").onchange = $("noise").onchange = () => ask({ check: true });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === " " && !event.target.closest("button, input, select")) play(!at.playing);
    else if (event.key === "s" && event.target.type !== "number") step();
    else return;
    event.preventDefault();
  });
  const redraw = () => { if (at.head) at.drawing ||= requestAnimationFrame(draw); };
  new ResizeObserver(redraw).observe($("plane"));
  matchMedia("(prefers-color-scheme: dark)").onchange = redraw;
  show();
  ask({ given, restart: true, check: true });
  if (!calm && location.hash !== "#paused") play(true);
  window.playground = { at, given, settings };
})();
