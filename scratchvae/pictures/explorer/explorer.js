"use strict";
// The first tab: a plane through the latent space, and what the decoder makes of a point in it.
// There is one state, `at`; whoever changes it calls show(), and one frame later all is drawn.

const $ = (id) => document.getElementById(id);

(() => {
  const data = JSON.parse($("data").textContent), p = {}, classes = data.classes || [];
  for (const name in data.params) p[name] = floats(data.params[name], data.bits);
  const { height, width, channels, centre, scale, labels, y } = data, Z = centre.length;
  const [codes, gain, shift] = [data.mu, data.gain, data.shift].map((text) => floats(text, 32));
  const mu = y.map((_, n) => [...codes.subarray(n * Z, (n + 1) * Z)]);
  const { random, sqrt, log, cos, PI } = Math, sheets = [...$("samples").children];
  const normal = () => sqrt(-2 * log(1 - random())) * cos(2 * PI * random());
  const noise = () => sheets.map(() => centre.map(normal));
  const other = mu.at(y.findIndex((c) => c !== y[0])); // of another label, or the last
  const at = {
    z: [...mu[0]], label: 0, eps: noise(), ends: [[...mu[0]], [...other]], frame: 0, playing: 0,
    units: data.units.slice(0, 2).map((u) => u.unit).sort((a, b) => Z === 2 ? a - b : 0),
    axes: [], nearest: 0, marked: -1, hidden: new Set(), behind: { key: "", next: 0 },
  };
  const canvas = $("plane"), plane = latentPlane(canvas, centre, scale, mu);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // z and, of a model with labels, the number of one  ->  the mean of p(x|z) as pixels, (D)
  function means(z, label) {
    const hot = classes.map((_, c) => (c === label ? 1 : 0));
    const [, logits] = decode(p, [...z, ...hot], data.activation);
    return mean(logits, data.likelihood).map((m, d) => gain[d] * m + shift[d]);
  }

  // Pixels as an image: ink is a colour of varying opacity
  function image(x, ink = 0) {
    const found = new ImageData(width, height); // clamps to 0 ... 255
    const grey = (v) => data.ink ? [ink, ink, ink, v] : [v, v, v, 1];
    const rgba = (i) => channels === 1 ? grey(x[i]) : [...x.subarray(3 * i, 3 * i + 3), 1];
    for (let i = 0; i < width * height; i++) found.data.set(rgba(i).map((v) => 255 * v), 4 * i);
    return found;
  }

  function paint(sheet, x) {
    Object.assign(sheet, { width, height }).getContext("2d").putImageData(image(x), 0, 0);
  }

  // The originals of the test examples lie side by side in one image
  const of = data.originals, originals = new Image();
  originals.onload = () => show();
  originals.src = `data:image/png;base64,${of.png}`;

  function paintOriginal(sheet, n) {
    const place = [(n % of.columns) * of.width, Math.floor(n / of.columns) * of.height];
    const size = [of.width, of.height];
    Object.assign(sheet, { width: of.width, height: of.height });
    if (originals.complete)
      sheet.getContext("2d").drawImage(originals, ...place, ...size, 0, 0, ...size);
  }

  const signed = (v) => minus(v.toFixed(2));
  const named = (n) => y[n] < 0 ? "" : ` of label ${labels[y[n]]}`;
  const isShown = (n) => !at.hidden.has(y[n]);

  // Of two units, decode the plane into the background: some images a frame, anew for a new view
  function drawBehind() {
    const wanted = $("behind").checked && Z === 2, { view } = plane, behind = at.behind;
    const key = [view.r, view.mid, at.label, dark.matches, plane.size()].join();
    if (!wanted) view.behind = null;
    if (!wanted || (key === behind.key && behind.next === behind.cells)) return;
    const side = 46 * sqrt(width / height), across = Math.max(1, Math.round(plane.size() / side));
    const down = Math.max(1, Math.round((across * width) / height));
    if (key !== behind.key) {
      Object.assign(behind, { key, next: 0, cells: across * down });
      view.behind = Object.assign(document.createElement("canvas"),
        { width: across * width, height: down * height });
    }
    const g = view.behind.getContext("2d"), end = performance.now() + 8;
    for (; behind.next < behind.cells && performance.now() < end; behind.next++) {
      const column = behind.next % across, row = Math.floor(behind.next / across);
      const middle = [(column + 0.5) / across, (row + 0.5) / down].map((v) => v * plane.size());
      const x = means(plane.coordinates(middle), at.label);
      g.putImageData(image(x, Number(dark.matches)), column * width, row * height);
    }
    if (behind.next < behind.cells) at.frame ||= requestAnimationFrame(draw);
  }

  function draw() {
    at.frame = 0;
    if ($("space").hidden) return;
    const sigma = Number($("sigma").value);
    const points = at.eps.map((eps) => at.z.map((z, j) => z + sigma * eps[j]));
    const far = (n) => mu[n].reduce((sum, v, j) => sum + (v - at.z[j]) ** 2, 0);
    at.nearest = mu.reduce((best, _, n) => far(n) < far(best) ? n : best, 0);
    paint($("digit"), means(at.z, at.label));
    paintOriginal($("original"), at.nearest);
    points.forEach((z, k) => paint(sheets[k], means(z, at.label)));
    const colour = (c) => data.colours[c] || "gray", { z, ends, marked, hidden } = at;
    drawBehind();
    const faint = data.ink && channels === 1 ? 0.3 : 0.4;
    plane.draw({ z, points, ends, marked, faint, classes: { labels, y, hidden, colour } });
    clearTimeout(at.saying); // a reader should hear where the point stopped, not each frame
    at.saying = setTimeout(say, 120);
  }

  function say() {
    const away = Math.hypot(...mu[at.nearest].map((v, j) => v - at.z[j]));
    const z = plane.at(at.z).map((v, axis) => `${at.axes[axis]} = ${signed(v)}`).join(", ");
    $("where").textContent = away < 5e-3 ? `${z}: the code of a test example${named(at.nearest)}.`
      : `${z}. The nearest test example${named(at.nearest)} is ${signed(away)} away.`;
    const given = classes.length ? ` and label ${classes[at.label]}` : "";
    $("digit").setAttribute("aria-label", `The image decoded at ${z}${given}`);
    $("original").setAttribute("aria-label", `The nearest test example${named(at.nearest)}`);
  }

  function show() {
    for (const row of $("sliders").children) row.show();
    $("walk-value").textContent = `t = ${Number($("walk").value).toFixed(2)}`;
    $("sigma-value").textContent = `sigma = ${Number($("sigma").value).toFixed(2)}`;
    at.frame ||= requestAnimationFrame(draw);
  }

  const go = (z) => { at.z = z; show(); };

  function goToExample(n) {
    const known = classes.indexOf(labels[y[n]]);
    play(false);
    if (known >= 0) $("label").value = at.label = known;
    go([...mu[n]]);
  }

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
    input.oninput = () => go(at.z.map((v, unit) => (unit === j ? Number(input.value) : v)));
    row.prepend(`z[${j}] `);
    row.show = () => { input.value = at.z[j]; value.textContent = signed(at.z[j]); };
    return row;
  }

  // The plane of the list, or of the two units that are chosen, with sliders for other units
  function choosePlane() {
    const chosen = data.planes[$("kind").value], units = chosen ? [] : at.units;
    at.axes = chosen ? ["first axis", "second axis"] : units.map((j) => `z[${j}]`);
    plane.span(chosen ? chosen.axes : units.map((j) => centre.map((_, i) => Number(i === j))));
    const rest = data.units.filter((u) => u.active && !units.includes(u.unit)).slice(0, 10);
    $("sliders").replaceChildren(...rest.map((u) => slider(u.unit)));
    $("others").hidden = !rest.length;
    $("others-title").textContent = chosen ? "each unit" : "the other units";
    $("axes").hidden = Boolean(chosen) || Z === 2;
    [$("across").value, $("up").value] = at.units;
    show();
  }

  function moveTo(coordinates) {
    play(false);
    go(plane.moved(at.z, coordinates));
  }

  // ---------------------------------------------------------------- mouse, fingers and keys

  const fingers = new Map(); // where each pointer that is down was last

  function spotOf({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, spotOf(event));
    at.pressed = fingers.size === 1 ? spotOf(event) : null;
    hover(-1);
    if (at.pressed) moveTo(plane.coordinates(at.pressed));
  };

  canvas.onpointermove = (event) => {
    const now = spotOf(event), was = fingers.get(event.pointerId);
    if (!was && event.pointerType === "mouse") hover(plane.exampleAt(now, isShown), now);
    if (!was) return;
    const still = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, now);
    if (still) { // two fingers: their distance scales the view, their middle moves it
      const apart = (a) => Math.hypot(a[0] - still[0], a[1] - still[1]);
      plane.zoom(apart(was) / Math.max(1, apart(now)), still);
      plane.pan(now.map((v, axis) => (v - was[axis]) / 2));
      show();
    } else if (at.pressed) moveTo(plane.coordinates(now));
  };

  canvas.onpointerup = (event) => {
    const now = spotOf(event), n = plane.exampleAt(now, isShown);
    const clicked = at.pressed && Math.hypot(...now.map((v, axis) => v - at.pressed[axis])) < 4;
    if (clicked && n >= 0) goToExample(n);
    fingers.delete(event.pointerId);
    at.pressed = null;
  };
  canvas.onpointercancel = (event) => { fingers.delete(event.pointerId); at.pressed = null; };
  canvas.onpointerleave = () => hover(-1);

  // The original of the test example under the mouse, beside it
  function hover(n, [x, v] = [0, 0]) {
    if (n === at.marked) return;
    at.marked = n;
    $("hover").hidden = n < 0;
    canvas.classList.toggle("on-example", n >= 0);
    if (n >= 0) {
      const left = x > plane.size() / 2, top = v > plane.size() / 2;
      paintOriginal($("thumbnail"), n);
      $("hover-label").textContent = y[n] < 0 ? "" : labels[y[n]];
      $("hover").style.translate = `${left ? "calc(-100% - 14px)" : "14px"} ${top ? "-100%" : "0"}`;
      Object.assign($("hover").style, { left: `${x}px`, top: `${v}px` });
    }
    show();
  }

  canvas.onwheel = (event) => { // once the whole plane is seen, the page scrolls on
    if (event.ctrlKey || event.deltaY === 0) return;
    if (!plane.zoom(1.002 ** event.deltaY, spotOf(event))) return;
    event.preventDefault();
    show();
  };

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  const ZOOMS = { "+": 0.8, "=": 0.8, "-": 1.25, 0: Infinity };

  canvas.onkeydown = (event) => {
    const arrow = ARROWS[event.key], factor = ZOOMS[event.key];
    const end = ["a", "b"].indexOf(event.key.toLowerCase());
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (arrow) {
      const step = (event.shiftKey ? 0.1 : 0.02) * plane.view.r;
      moveTo(plane.at(at.z).map((v, axis) => v + step * arrow[axis]));
      plane.follow(at.z);
    } else if (factor) plane.follow(at.z), plane.zoom(factor, [plane.size() / 2, plane.size() / 2]);
    else if (event.key === "Home") play(false), plane.whole(), go([...centre]);
    else if (end >= 0) setEnd(end);
    else return;
    show();
    event.preventDefault();
  };

  // ------------------------------------------------------------------------------ controls

  $("another").onclick = () => goToExample(Math.floor(y.length * random()));
  ["set-a", "set-b"].forEach((id, end) => { $(id).onclick = () => setEnd(end); });
  $("play").onclick = () => play(!at.playing);
  $("walk").oninput = () => { play(false); walk(); };
  $("sigma").oninput = $("behind").onchange = show;
  $("draw").onclick = () => { at.eps = noise(); show(); };
  $("label").onchange = () => { at.label = Number($("label").value); show(); };
  ["across", "up"].forEach((id, axis) => {
    for (const { unit, said } of data.units)
      $(id).append(new Option(`unit ${unit} (${data.says} ${said.toFixed(2)})`, unit));
    $(id).onchange = () => {
      const unit = Number($(id).value), twin = at.units[1 - axis];
      at.units = twin === unit ? at.units.reverse() : axis ? [twin, unit] : [unit, twin];
      choosePlane();
    };
  });
  data.planes.forEach(({ name }, k) => $("kind").append(new Option(name, k)));
  $("kind").append(new Option("two units", "units"));
  $("kind").onchange = choosePlane;
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
  $("kind-row").hidden = Z === 2;
  $("behind-row").hidden = Z > 2;
  $("sigma").value = data.sigma;
  labels.forEach((textContent, c) => { // a button for each class, which shows or hides its codes
    const button = Object.assign(document.createElement("button"), { textContent });
    button.style.setProperty("--hue", data.colours[c]);
    button.setAttribute("aria-pressed", true);
    button.onclick = () => {
      if (!at.hidden.delete(c)) at.hidden.add(c);
      button.setAttribute("aria-pressed", !at.hidden.has(c));
      show();
    };
    $("legend").appendChild(document.createElement("li")).append(button);
  });
  new ResizeObserver(show).observe(canvas);
  dark.onchange = show;
  if (location.hash === "#gradient") tabs[1].click();
  choosePlane();
  window.explorer = { means, at, plane };
})();
