"use strict";
// The page: it asks the worker for some training, and draws what comes back, a frame at a time.

const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

(() => {
  const data = JSON.parse($("data").textContent), { side, y, colours } = data;
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const SHOWN = 10, LONGEST = 400; // digits in a row, points of the curves
  const [train, test] = [data.train, data.test].map(bytes), D = side * side;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const at = { todo: {}, busy: false, playing: false, drawing: 0, frames: 0 };
  const code = ["model", "checks", "worker"].map((name) => $(name).textContent).join("\n");
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));

  const isOn = (box) => box.checked && !box.disabled;
  const number = (id) => Number($(id).value);
  const settings = () => ({
    beta: 2 ** number("beta"), lr: 10 ** number("lr"), noise: $("noise").checked,
    batch: number("batch"), hidden: number("hidden"), seed: number("seed"),
    bug: Object.fromEntries(all("[data-bug]").map((box) => [box.dataset.bug, isOn(box)])),
  });

  // One request at a time: what is asked for meanwhile goes into the next
  function ask(wish) {
    Object.assign(at.todo, wish);
    if (at.busy) return;
    worker.postMessage({ settings: settings(), ...at.todo });
    Object.assign(at, { todo: {}, busy: true });
  }

  worker.onmessage = ({ data: frame }) => {
    if (frame.restart) Object.assign(at, { history: [], every: 1, tail: [], last: null });
    frame.losses.forEach(remember);
    for (const name in frame) if (frame[name] !== undefined) at[name] = frame[name];
    at.busy = false;
    if (frame.checks) judge();
    if (at.last && !Number.isFinite(at.last[0])) stop();
    if (Object.keys(at.todo).length) ask({});
    redraw();
  };

  worker.onerror = ({ message }) => {
    at.busy = false;
    play(false);
    say(`The training stopped: ${message}`, true);
  };

  const mean = (rows) =>
    rows[0].map((_, k) => rows.reduce((sum, row) => sum + row[k] / rows.length, 0));

  // The history holds means of so many steps each; when it is long, of twice as many
  function remember(losses) {
    at.last = losses;
    at.tail.push(losses);
    if (at.tail.length < at.every) return;
    at.history.push(mean(at.tail));
    at.tail = [];
    if (at.history.length < LONGEST) return;
    at.history = at.history.flatMap((row, i, rows) => i % 2 ? [mean([rows[i - 1], row])] : []);
    at.every *= 2;
  }

  // ----------------------------------------------------------------------------------- drawing

  const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`);
  const short = (v) =>
    v >= 0.001 && v < 1e4 ? String(Number(v.toPrecision(2))) : v ? v.toExponential(0) : "0";

  function context(id) {
    const canvas = $(id), { clientWidth: width, clientHeight: height } = canvas;
    const g = canvas.getContext("2d");
    [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
    g.scale(devicePixelRatio, devicePixelRatio);
    g.lineJoin = "round", g.textBaseline = "middle";
    return { g, width, height };
  }

  // Images of ink in so many columns, as one picture
  function sheet(images, columns, gap = 0) {
    const pitch = side + gap, width = columns * pitch;
    const image = new ImageData(width, Math.ceil(images.length / D / columns) * pitch);
    image.data.fill(dark.matches ? 255 : 0);
    for (let i = 3; i < image.data.length; i += 4) image.data[i] = 0;
    images.forEach((ink, k) => {
      const n = Math.floor(k / D), i = k % D, across = (n % columns) * pitch + (i % side);
      const down = Math.floor(n / columns) * pitch + Math.floor(i / side);
      image.data[4 * (down * width + across) + 3] = ink;
    });
    const picture = new OffscreenCanvas(image.width, image.height);
    picture.getContext("2d").putImageData(image, 0, 0);
    return picture;
  }

  function drawPlane() {
    const { g, width: size } = context("plane"), middle = size / 2, unit = middle / at.reach;
    const edge = unit * at.tilesReach, [soft, panel] = ["soft", "panel"].map(colour);
    g.globalAlpha = 0.3;
    g.drawImage(sheet(at.tiles, Math.sqrt(at.tiles.length / D)),
      middle - edge, middle - edge, 2 * edge, 2 * edge);
    g.globalAlpha = 1;
    g.strokeStyle = soft, g.setLineDash([4, 4]);
    for (const r of [1, 2]) g.beginPath(), g.arc(middle, middle, r * unit, 0, 7), g.stroke();
    Object.assign(g, { font: "bold 13px sans-serif", textAlign: "center" }).setLineDash([]);
    y.forEach((c, n) => {
      const [mu0, mu1, ...logvar] = at.head.subarray(4 * n, 4 * n + 4);
      const place = [middle + unit * mu0, middle - unit * mu1];
      const [a, b] = logvar.map((v) => unit * Math.exp(v / 2));
      Object.assign(g, { fillStyle: colours[c], strokeStyle: colours[c], lineWidth: 1.5 });
      if ($("noise").checked) {
        g.beginPath(), g.ellipse(...place, a, b, 0, 0, 7);
        g.globalAlpha = 0.22, g.fill(), g.globalAlpha = 1, g.stroke();
      }
      Object.assign(g, { strokeStyle: panel, lineWidth: 3 }).strokeText(c, ...place);
      g.fillText(c, ...place);
    });
  }

  function drawLosses() {
    const { g, width, height } = context("losses"), rows = at.history, left = 34, low = height - 18;
    const highest = (some) => Math.max(...some.flat().filter(Number.isFinite));
    // above 400 the axis follows the last quarter, and what was higher before leaves at the top
    const recent = highest(rows.slice(Math.floor(0.75 * rows.length)));
    const top = Math.max(10, Math.min(highest(rows), Math.max(400, recent)));
    const up = (v) => low - ((low - 6) * v) / top, ten = 10 ** Math.floor(Math.log10(top) - 0.5);
    const tick = [1, 2, 5, 10].map((t) => t * ten).find((t) => top / t < 5);
    Object.assign(g, { font: "11px sans-serif", textAlign: "right", lineWidth: 2 });
    for (let v = 0; v <= top; v += tick) {
      g.fillStyle = colour("line"), g.fillRect(left, up(v), width - left, 1);
      g.fillStyle = colour("soft");
      g.fillText(v < 1e4 ? v : v.toExponential(1), left - 6, up(v), left - 6);
    }
    g.fillText(`${at.step.toLocaleString("en")} steps`, width, low + 10);
    for (const [k, name] of ["ink", "rec", "kl"].entries()) {
      g.strokeStyle = colour(name);
      g.beginPath();
      rows.forEach((row, i) =>
        g.lineTo(left + ((width - left) * (i + 1)) / rows.length, up(row[k])));
      g.stroke();
    }
  }

  function drawDigits() {
    const originals = test.subarray(0, SHOWN * D);
    const picture = sheet([...originals, ...at.images], SHOWN, 1), canvas = $("digits");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }

  function draw() {
    at.drawing = 0;
    if (at.playing && calm.matches) setTimeout(more, 800);
    else if (at.playing) more();
    drawPlane(), drawLosses(), drawDigits();
    $("steps").textContent = at.step.toLocaleString("en");
    for (const [k, name] of ["loss", "rec", "kl"].entries())
      $(name).textContent = at.last ? at.last[k].toFixed(2) : "";
    for (const text of all("[data-norm]")) text.textContent = short(at.norms[text.dataset.norm]);
    at.listing ||= setTimeout(listNorms, 1000); // for a screen reader, which needs no frame rate
    const most = Math.max(...Object.values(at.norms));
    for (const wire of all("[data-wire]"))
      wire.style.strokeWidth = 1 + (7 * at.norms[wire.dataset.wire]) / most;
  }

  function listNorms() {
    at.listing = 0;
    $("norm-list").replaceChildren(...Object.entries(at.norms).map(([name, norm]) =>
      Object.assign(document.createElement("li"), { textContent: `${name} ${short(norm)}` })));
  }

  // Every 40th frame is for the checks; with reduced motion, every other of few frames
  function more() {
    const [every, ms] = calm.matches ? [2, 400] : [40, 6];
    if (at.playing) ask(at.frames++ % every ? { ms } : { check: true });
  }

  function redraw() {
    if (at.head) at.drawing ||= requestAnimationFrame(draw);
  }

  // ------------------------------------------------------------------------------------ checks

  const NAMES = {
    samples: "spread of z / exp(logvar/2)", KL: "KL", reconstruction: "−log p(x|z)",
  };

  function list(id, rows, words) {
    const failed = rows.some((row) => !row.passed);
    $(id).classList.toggle("failed", failed), $(id).classList.toggle("passed", !failed);
    $(id).querySelector("b").textContent = failed ? "✗ fail" : "✓ pass";
    const brief = all(`[data-verdict=${id}]`)[0];
    [brief.textContent, brief.className] = failed ? ["✗", "failed"] : ["✓", "passed"];
    $(id).querySelector("ul").replaceChildren(...rows.map((row) => {
      const item = document.createElement("li");
      item.className = row.passed ? "" : "failed";
      for (const textContent of words(row))
        item.append(Object.assign(document.createElement("span"), { textContent }));
      return item;
    }));
    return rows.filter((row) => !row.passed).map((row) => row.name).join(", ");
  }

  function judge() {
    const { differences: slopes, meaning: parts } = at.checks;
    const wrong = list("differences", slopes, (row) => [row.name, row.error.toExponential(0)]);
    const odd = list("meaning", parts, (row) =>
      [NAMES[row.name], row.found.toFixed(2), row.expected.toFixed(2)]);
    for (const { name, passed } of slopes)
      all(`[data-name="${name}"]`)[0].classList.toggle("failed", !passed);
    say(`Finite differences ${wrong ? `fail: ${wrong}` : "pass"}. `
      + `Meaning ${odd ? `fails: ${odd}` : "passes"}.`);
  }

  // For a screen reader, which should hear of a change, not of each frame
  function say(text, seen = false) {
    if ($("verdict").textContent !== text) $("verdict").textContent = text;
    $("verdict").className = seen ? "" : "unseen";
  }

  // ---------------------------------------------------------------------------------- controls

  function play(on) {
    at.playing = on;
    $("play").textContent = on ? "pause" : "play";
    if (on) ask({ check: true });
  }

  function stop() {
    play(false);
    say("The loss is no longer a finite number: restart, with a smaller learning rate.", true);
  }

  const step = () => { play(false); ask({ steps: (at.todo.steps || 0) + 1, check: true }); };
  const restart = () => ask({ restart: true, check: true });

  function change() {
    $("beta-value").textContent = short(2 ** number("beta"));
    $("lr-value").textContent = short(10 ** number("lr"));
    $("plane-help").textContent = $("noise").checked
      ? "An ellipse is q(z|x) of a test digit: its mean, and one standard deviation around it."
      : "An autoencoder, without noise and KL: each test digit is a point.";
    for (const box of all("[data-bug]")) {
      box.disabled = "needsNoise" in box.dataset && !$("noise").checked;
      box.closest(".bug").classList.toggle("on", isOn(box));
      $(`why-${box.dataset.bug}`).hidden = !isOn(box);
    }
    $("break").classList.toggle("several", all(".bug.on").length > 1);
    ask({ check: true });
  }

  $("play").onclick = () => play(!at.playing);
  $("step").onclick = step;
  $("restart").onclick = $("hidden").onchange = $("seed").onchange = restart;
  $("beta").oninput = $("lr").oninput = $("batch").onchange = $("noise").onchange = change;
  for (const box of all("[data-bug]")) box.onchange = change;
  const fields = "input, select";
  const keys = { " ": [() => play(!at.playing), `button, ${fields}`], s: [step, fields] };
  addEventListener("keydown", (event) => {
    const [does, own] = keys[event.key] || [];
    if (!does || event.target.closest(own)) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (!event.repeat) does();
    event.preventDefault();
  });
  new ResizeObserver(redraw).observe($("plane"));
  dark.onchange = redraw;
  ask({ given: { train, test, D, shown: SHOWN }, restart: true });
  change();
  if (!calm.matches && location.hash !== "#paused") play(true);
  window.playground = { at, ask, settings };
})();
