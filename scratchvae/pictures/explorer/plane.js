"use strict";
// The latent plane on the screen: which part of it is seen, where a code lies, and its drawing.
// It is spanned by two orthonormal directions u; the coordinates of a code z are its products u z.

const dot = (u, z) => u.reduce((sum, value, j) => sum + value * z[j], 0);
const minus = (text) => text.replace("-", "−");

function latentPlane(canvas, centre, scale, mu) {
  const { abs, max, min, sqrt } = Math;
  const view = { axes: [], codes: [], middle: [], mid: [], whole: 1, r: 1, behind: null };
  const at = (z) => view.axes.map((u) => dot(u, z));

  // Show another plane, whole: from its middle as far as the codes lie, the same for both axes
  function span(axes) {
    view.axes = axes;
    [view.middle, view.codes] = [at(centre), mu.map(at)];
    const spread = axes.map((u) => 3 * sqrt(u.reduce((sum, v, j) => sum + (v * scale[j]) ** 2, 0)));
    const away = view.codes.flatMap((code) => code.map((c, axis) => abs(c - view.middle[axis])));
    view.whole = 1.05 * away.reduce((a, b) => max(a, b), max(...spread));
    whole();
  }

  function whole() {
    view.r = view.whole;
    view.mid = [...view.middle];
  }

  const within = (code, room, middle = view.middle) =>
    code.map((c, axis) => min(middle[axis] + room, max(middle[axis] - room, c)));

  // The code with these coordinates that differs from z in the plane alone
  function moved(z, coordinates) {
    const by = within(coordinates, view.whole).map((c, axis) => c - dot(view.axes[axis], z));
    return z.map((v, j) => v + by[0] * view.axes[0][j] + by[1] * view.axes[1][j]);
  }

  const size = () => canvas.clientWidth;
  const spot = (code) => code.map((c, axis) =>
    (size() / 2) * (1 + ((axis ? -1 : 1) * (c - view.mid[axis])) / view.r));
  const coordinates = ([x, y]) => [x, size() - y].map((v, axis) =>
    view.mid[axis] + view.r * ((2 * v) / size() - 1));

  // Scale the view about a spot, which stays where it is; false if it cannot change
  function zoom(factor, about) {
    const r = min(view.whole, max(view.whole / 50, view.r * factor)), fixed = coordinates(about);
    if (r === view.r) return false;
    view.mid = view.mid.map((m, axis) => fixed[axis] + ((m - fixed[axis]) * r) / view.r);
    view.r = r;
    pan([0, 0]);
    return true;
  }

  function pan([dx, dy]) {
    const step = (2 * view.r) / size();
    view.mid = within([view.mid[0] - dx * step, view.mid[1] + dy * step], view.whole - view.r);
  }

  function follow(z) { // no further than needed
    view.mid = within(within(view.mid, 0.95 * view.r, at(z)), view.whole - view.r);
  }

  // The number of the test example nearest to a spot, if it is near; -1 if not
  function exampleAt([x, y], isShown) {
    let found = -1, least = 10;
    for (const [n, code] of view.codes.entries()) {
      const [a, b] = spot(code), away = Math.hypot(a - x, b - y);
      if (away < least && isShown(n)) [found, least] = [n, away];
    }
    return found;
  }

  // z, its samples and the ends of the walk over the codes; `classes` has names, colours, y, hidden
  function draw({ z, points, ends, marked, classes, faint }) {
    const style = getComputedStyle(canvas), [ink, paper, soft, line, accent] =
      ["ink", "paper", "soft", "line", "accent"].map((name) => style.getPropertyValue(`--${name}`));
    const g = canvas.getContext("2d"), side = size(), place = (code) => spot(at(code));
    canvas.width = canvas.height = side * devicePixelRatio;
    g.scale(devicePixelRatio, devicePixelRatio), g.lineJoin = "round", g.lineWidth = 3;
    Object.assign(g, { font: "12px sans-serif", textAlign: "center", textBaseline: "middle" });
    const disc = ([x, y], radius, fill, text = "") => {
      g.fillStyle = fill;
      g.beginPath(), g.arc(x, y, radius, 0, 7), g.fill();
      if (text) g.fillStyle = paper, g.fillText(text, x, y);
    };
    if (view.behind) {
      Object.assign(g, { globalAlpha: faint, imageSmoothingEnabled: false });
      g.drawImage(view.behind, 0, 0, side, side);
      g.globalAlpha = 1;
    }
    grid(g, side, view.behind ? "transparent" : line, soft);
    const { hidden } = classes, colours = classes.y.map(classes.colour);
    const radius = min(4.5, max(2.4, 75 / sqrt(mu.length))); // few dots are larger
    for (const [n, code] of view.codes.entries()) {
      if (hidden.has(classes.y[n])) continue;
      if (view.behind) disc(spot(code), radius + 1, paper); // a rim
      disc(spot(code), radius, colours[n]);
    }
    Object.assign(g, { font: "bold 13px sans-serif", fillStyle: ink, strokeStyle: paper });
    names(g, side, classes);
    Object.assign(g, { strokeStyle: ink, lineWidth: 1 }).setLineDash([5, 4]);
    g.beginPath(), ends.forEach((end) => g.lineTo(...place(end)));
    g.stroke();
    g.setLineDash([]);
    if (marked >= 0) disc(spot(view.codes[marked]), radius + 2, colours[marked]), g.stroke();
    Object.assign(g, { strokeStyle: accent, lineWidth: 3 });
    disc(place(z), 9, paper), g.stroke();
    for (const point of points) disc(place(point), 4.5, paper), disc(place(point), 3, accent);
    for (const [end, [x, y]] of ends.map(place).entries()) // the letter beside its end, on top
      disc([x, y], 3, ink), disc([x + 26 * end - 13, y + (y < 28 ? 13 : -13)], 9, ink, "AB"[end]);
  }

  function grid(g, side, line, soft) {
    const power = 10 ** Math.floor(Math.log10(view.r));
    const step = view.r < 2 * power ? power / 2 : power;
    for (const axis of [0, 1]) {
      const [low, high] = [-view.r, view.r].map((away) => view.mid[axis] + away);
      for (let k = Math.ceil(low / step); k * step < high; k++) {
        const where = spot([k * step, k * step])[axis];
        g.fillStyle = line;
        g.fillRect(axis ? 0 : where, axis ? where : 0, axis ? side : 1, axis ? 1 : side);
        g.fillStyle = soft;
        const tick = minus(String(Number((k * step).toPrecision(3))));
        if (abs(where - side / 2) < side / 2 - 28)
          g.fillText(tick, axis ? 14 : where, axis ? where : side - 10);
      }
    }
  }

  // The name of each class in the middle of its codes, or below those that it would cover
  function names(g, side, { labels, y, hidden }) {
    const named = []; // places and half widths
    for (const [c, text] of labels.length > 12 ? [] : labels.entries()) {
      const own = view.codes.filter((_, n) => y[n] === c), half = g.measureText(text).width / 2 + 3;
      if (half > side / 4 || hidden.has(c)) continue; // the legend has room for it
      const sum = [0, 1].map((axis) => own.reduce((total, code) => total + code[axis], 0));
      const to = spot(sum.map((total) => total / own.length));
      if (to.some((v) => v < 0 || v > side)) continue; // not in this part of the plane
      to[0] = min(max(half, to[0]), side - half);
      const over = ([x, v, w]) => abs(x - to[0]) < w + half && abs(v - to[1]) < 15;
      for (let k = 0; k < side && named.some(over); k++) to[1] = to[1] < side - 9 ? to[1] + 1 : 9;
      named.push([...to, half]);
      g.strokeText(text, ...to), g.fillText(text, ...to); // an outline hides less than a disc
    }
  }

  return { view, span, whole, at, moved, coordinates, size, zoom, pan, follow, exampleAt, draw };
}
