"use strict";
// The first tab: a plane over two latent units, and what the decoder makes of a point in it.
// There is one state, `at`; whoever changes it calls show(), and one frame later all is drawn.

const $ = (id) => document.getElementById(id);

(() => {
  const data = JSON.parse($("data").textContent), p = {}, classes = data.classes || [];
  for (const name in data.params) p[name] = floats(data.params[name], data.bits);
  const { height, width, channels, centre, scale, labels, y } = data, Z = centre.length;
  const [codes, gain, shift] = [data.mu, data.gain, data.shift].map((text) => floats(text, 32));
  const mu = y.map((_, n) => [...codes.subarray(n * Z, (n + 1) * Z)]);
  const { abs, random, sqrt, log, cos, PI } = Math, sheets = [...$("samples").children];
  const normal = () => sqrt(-2 * log(1 - random())) * cos(2 * PI * random());
  const noise = () => sheets.map(() => centre.map(normal));
  const other = mu.at(y.findIndex((c) => c !== y[0])); // of another label, or the last
  const at = {
    z: [...mu[0]], label: 0, eps: noise(), ends: [[...mu[0]], [...other]], frame: 0, playing: 0,
    units: Z === 2 ? [0, 1] : data.units.slice(0, 2).map((u) => u.unit),
  };

  // z and, of a model with labels, the number of one  ->  the mean of p(x|z) as pixels, (D)
  function means(z, label) {
    const hot = classes.map((_, c) => (c === label ? 1 : 0));
    const [, logits] = decode(p, [...z, ...hot], data.activation);
    return mean(logits, data.likelihood).map((m, d) => gain[d] * m + shift[d]);
  }

  function paint(canvas, x) {
    const image = new ImageData(width, height); // clamps to 0 ... 255
    const grey = (v) => data.ink ? [0, 0, 0, v] : [v, v, v, 1]; // black ink, or as it is
    const rgba = (i) => channels === 1 ? grey(x[i]) : [...x.subarray(3 * i, 3 * i + 3), 1];
    for (let i = 0; i < width * height; i++) image.data.set(rgba(i).map((v) => 255 * v), 4 * i);
    Object.assign(canvas, { width, height }).getContext("2d").putImageData(image, 0, 0);
  }

  const hue = (c) => c < 0 ? "gray" : `hsl(${360 * c / labels.length} 70% ${c % 2 ? 60 : 44}%)`;
  const signed = (v) => v.toFixed(2).replace("-", "−");

  // from the middle to the edge of the plane: as far as the codes lie, the same for both axes
  const reach = () => 1.05 * Math.max(...at.units.flatMap((j) =>
    [3 * scale[j], ...mu.map((z) => abs(z[j] - centre[j]))]));

  function drawPlane(points) {
    const canvas = $("plane"), size = canvas.clientWidth, r = reach();
    const style = getComputedStyle(canvas), [ink, paper, soft, line, accent] =
      ["ink", "paper", "soft", "line", "accent"].map((name) => style.getPropertyValue(`--${name}`));
    const place = (z) => at.units.map((j, axis) =>
      (size / 2) * (1 + ((axis ? -1 : 1) * (z[j] - centre[j])) / r));
    const g = canvas.getContext("2d");
    canvas.width = canvas.height = size * devicePixelRatio;
    g.scale(devicePixelRatio, devicePixelRatio), g.lineJoin = "round", g.lineWidth = 3;
    Object.assign(g, { font: "12px sans-serif", textAlign: "center", textBaseline: "middle" });
    const disc = ([x, v], radius, fill, text = "") => {
      g.fillStyle = fill;
      g.beginPath(), g.arc(x, v, radius, 0, 7), g.fill();
      if (text) g.fillStyle = paper, g.fillText(text, x, v);
    };
    const step = 10 ** Math.floor(Math.log10(r));
    at.units.forEach((j, axis) => {
      for (let k = Math.ceil((centre[j] - r) / step); k * step < centre[j] + r; k++) {
        const where = place(centre.map(() => k * step))[axis];
        const tick = String(Number((k * step).toPrecision(3))).replace("-", "−");
        g.fillStyle = line;
        g.fillRect(axis ? 0 : where, axis ? where : 0, axis ? size : 1, axis ? 1 : size);
        g.fillStyle = soft;
        if (abs(where - size / 2) < size / 2 - 28)
          g.fillText(tick, axis ? 14 : where, axis ? where : size - 10);
      }
    });
    mu.forEach((z, n) => disc(place(z), 2.2, hue(y[n])));
    Object.assign(g, { font: "bold 13px sans-serif", fillStyle: ink, strokeStyle: paper });
    const named = []; // places and half widths; a name moves below those it would cover
    for (const [c, text] of labels.length > 12 ? [] : labels.entries()) {
      const own = mu.filter((_, n) => y[n] === c), half = g.measureText(text).width / 2 + 3;
      if (half > size / 4) continue; // the legend has room for it
      const to = place(centre.map((_, j) => own.reduce((sum, z) => sum + z[j], 0) / own.length));
      to[0] = Math.min(Math.max(half, to[0]), size - half);
      const over = ([x, v, w]) => abs(x - to[0]) < w + half && abs(v - to[1]) < 15;
      for (let k = 0; k < size && named.some(over); k++) to[1] = to[1] < size - 9 ? to[1] + 1 : 9;
      named.push([...to, half]);
      g.strokeText(text, ...to), g.fillText(text, ...to); // an outline hides less than a disc
    }
    Object.assign(g, { strokeStyle: ink, lineWidth: 1 }).setLineDash([5, 4]);
    g.beginPath(), at.ends.forEach((z) => g.lineTo(...place(z)));
    g.stroke();
    Object.assign(g, { strokeStyle: accent, lineWidth: 3 }).setLineDash([]);
    disc(place(at.z), 9, paper), g.stroke();
    for (const z of points) disc(place(z), 4.5, paper), disc(place(z), 3, accent);
    for (const [end, [x, v]] of at.ends.map(place).entries()) // the letter beside its end, on top
      disc([x, v], 3, ink), disc([x + 26 * end - 13, v + (v < 28 ? 13 : -13)], 9, ink, "AB"[end]);
  }

  function draw() {
    at.frame = 0;
    if ($("space").hidden) return;
    const sigma = Number($("sigma").value);
    const points = at.eps.map((eps) => at.z.map((z, j) => z + sigma * eps[j]));
    paint($("digit"), means(at.z, at.label));
    points.forEach((z, k) => paint(sheets[k], means(z, at.label)));
    drawPlane(points);
    clearTimeout(at.saying); // a reader should hear where the point stopped, not each frame
    at.saying = setTimeout(say, 120);
  }

  function say() {
    const away = mu.map((z) => Math.hypot(...z.map((v, j) => v - at.z[j])));
    const n = away.indexOf(Math.min(...away)), label = y[n] < 0 ? "" : ` of label ${labels[y[n]]}`;
    const z = at.units.map((j) => `z[${j}] = ${signed(at.z[j])}`).join(", ");
    $("where").textContent = `${z}. The nearest test example${label} is ${signed(away[n])} away.`;
    const given = classes.length ? ` and label ${classes[at.label]}` : "";
    $("digit").setAttribute("aria-label", `The image decoded at ${z}${given}`);
  }

  function show() {
    for (const row of $("sliders").children) row.show();
    $("walk-value").textContent = `t = ${Number($("walk").value).toFixed(2)}`;
    $("sigma-value").textContent = `sigma = ${Number($("sigma").value).toFixed(2)}`;
    at.frame ||= requestAnimationFrame(draw);
  }

  const go = (z) => { at.z = z; show(); };
  const move = (j, value) => go(at.z.map((v, unit) => (unit === j ? value : v)));

  function walk() {
    const t = Number($("walk").value), [a, b] = at.ends;
    go(a.map((v, j) => (1 - t) * v + t * b[j]));
  }

  function play(on) {
    cancelAnimationFrame(at.playing);
    const start = performance.now() - 4000 * ($("walk").value % 1);
    const tick = (now) => {
      const t = ((now - start) / 4000) % 2; // there and back in eight seconds
      $("walk").value = t < 1 ? t : 2 - t;
      walk();
      at.playing = requestAnimationFrame(tick);
    };
    at.playing = on ? requestAnimationFrame(tick) : 0;
    $("play").textContent = on ? "stop" : "play";
  }

  function setEnd(end) {
    play(false);
    at.ends[end] = [...at.z];
    $("walk").value = end;
    show();
  }

  function slider(j) {
    const row = $("slider").content.firstElementChild.cloneNode(true);
    const [value, input] = row.children;
    [input.min, input.max] = [-3.5, 3.5].map((t) => centre[j] + t * scale[j]);
    input.oninput = () => move(j, Number(input.value));
    row.prepend(`z[${j}] `);
    row.show = () => { input.value = at.z[j]; value.textContent = signed(at.z[j]); };
    return row;
  }

  function chooseUnits() {
    const rest = data.units.filter((u) => u.active && !at.units.includes(u.unit)).slice(0, 10);
    $("sliders").replaceChildren(...rest.map((u) => slider(u.unit)));
    $("others").hidden = !rest.length;
    [$("across").value, $("up").value] = at.units;
    show();
  }

  function moveWithin(axis, value) { // no further than the edge of the plane
    const j = at.units[axis], r = reach();
    play(false);
    move(j, Math.min(centre[j] + r, Math.max(centre[j] - r, value)));
  }

  function drag({ clientX, clientY }) {
    const box = $("plane").getBoundingClientRect(), r = reach();
    [(clientX - box.left) / box.width, (box.bottom - clientY) / box.height].forEach((v, axis) =>
      moveWithin(axis, centre[at.units[axis]] + r * (2 * v - 1)));
  }

  const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };

  function press(event) {
    const [axis, sign] = ARROWS[event.key] || [], end = ["a", "b"].indexOf(event.key.toLowerCase());
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = sign * (event.shiftKey ? 0.1 : 0.02) * reach();
    if (sign) moveWithin(axis, at.z[at.units[axis]] + step);
    else if (event.key === "Home") play(false), go([...centre]);
    else if (end >= 0) setEnd(end);
    else return;
    event.preventDefault();
  }

  const plane = $("plane");
  plane.onpointerdown = (event) => { plane.setPointerCapture(event.pointerId); drag(event); };
  plane.onpointermove = (event) => { if (plane.hasPointerCapture(event.pointerId)) drag(event); };
  plane.onkeydown = press;
  $("another").onclick = () => {
    const n = Math.floor(y.length * Math.random()), known = classes.indexOf(labels[y[n]]);
    play(false);
    if (known >= 0) $("label").value = at.label = known;
    go([...mu[n]]);
  };
  ["set-a", "set-b"].forEach((id, end) => { $(id).onclick = () => setEnd(end); });
  $("play").onclick = () => play(!at.playing);
  $("walk").oninput = () => { play(false); walk(); };
  $("sigma").oninput = show;
  $("draw").onclick = () => { at.eps = noise(); show(); };
  $("label").onchange = () => { at.label = Number($("label").value); show(); };
  ["across", "up"].forEach((id, axis) => {
    for (const { unit, said } of data.units)
      $(id).append(new Option(`unit ${unit} (${data.says} ${said.toFixed(2)})`, unit));
    $(id).onchange = () => {
      const unit = Number($(id).value), twin = at.units[1 - axis];
      at.units = twin === unit ? at.units.reverse() : axis ? [twin, unit] : [unit, twin];
      chooseUnits();
    };
  });
  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, i) => {
    tab.onclick = () => {
      for (const each of tabs) {
        each.setAttribute("aria-selected", each === tab);
        each.tabIndex = each === tab ? 0 : -1;
        $(each.getAttribute("aria-controls")).hidden = each !== tab;
      }
      play(false);
      show();
    };
    tab.onkeydown = ({ key }) => // either arrow leads to the other of two
      /^Arrow(Left|Right)$/.test(key) && (tabs[1 - i].click(), tabs[1 - i].focus());
  });

  classes.forEach((name, c) => $("label").append(new Option(name, c)));
  $("label").value = at.label = Math.max(0, classes.indexOf(labels[y[0]]));
  $("label-row").hidden = !classes.length;
  $("axes").hidden = Z === 2;
  $("sigma").value = data.sigma;
  labels.forEach((textContent, c) => $("legend").append(
    Object.assign(document.createElement("li"), { textContent, style: `--hue: ${hue(c)}` })));
  new ResizeObserver(show).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").onchange = show;
  if (location.hash === "#gradient") tabs[1].click();
  chooseUnits();
  window.explorer = { means, at };
})();
