/* The plots, as SVG drawn for the width there is: objective against gap, to be clicked on, and how members were trained. */

const NARROWEST = 120; // below, a page is not shown yet
const EDGE = 36; // width of the strip at the left in which gaps of zero stand

function ticks(low, high, about) {
  const rough = (high - low) / about;
  const base = 10 ** Math.floor(Math.log10(rough));
  const step = base * [1, 2, 5, 10].find((each) => each * base >= rough * 0.999);
  const found = [];
  for (let whole = Math.ceil(low / step - 1e-9); whole * step <= high + 1e-9 * step; whole += 1) found.push(whole * step);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const text = (value) => (Math.max(Math.abs(low), Math.abs(high)) >= 1e5 ? digits(value, 3) : value.toFixed(Math.min(places, 8)));
  return found.map((value) => [value, text(value)]);
}

/* Powers of ten, at most `room` of them; between less than two of them 2 and 5 times these too, or evenly spaced numbers. */
function decades(low, high, room) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) {
    const some = [];
    for (let whole = first - 1; whole <= last + 1; whole += 1) for (const times of [1, 2, 5]) some.push(times * 10 ** whole);
    const within = some.filter((value) => value >= low && value <= high).map((value) => [value, digits(value, 1)]);
    return within.length > 1 ? within : ticks(low, high, 3).map(([value]) => [value, digits(value, 2)]);
  }
  const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(2, room)));
  const found = [];
  for (let whole = first; whole <= last; whole += every) found.push([10 ** whole, raised(whole)]);
  return found;
}

function padded(values, share) {
  const low = Math.min(...values), high = Math.max(...values);
  const room = share * Math.max(high - low, 1e-3 * Math.max(Math.abs(low), Math.abs(high)), 1e-9);
  return [low - room, high + room];
}

const linear = ([low, high], [from, to]) => (value) => from + ((value - low) / (high - low)) * (to - from);
const logarithmic = ([low, high], range) => {
  const scale = linear([Math.log10(low), Math.log10(high)], range);
  return (value) => scale(Math.log10(value));
};

function shape(kind, x, y, r) {
  const around = (points) => `M${points.map(([dx, dy]) => `${(x + r * dx).toFixed(1)} ${(y + r * dy).toFixed(1)}`).join("L")}Z`;
  if (kind === "square") return around([[-1, -1], [1, -1], [1, 1], [-1, 1]]);
  if (kind === "diamond") return around([[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]]);
  if (kind === "up") return around([[0, -1.2], [1.15, 0.9], [-1.15, 0.9]]);
  if (kind === "down") return around([[0, 1.2], [1.15, -0.9], [-1.15, -0.9]]);
  if (kind === "star") {
    return around([...Array(10).keys()].map((k) => [k % 2 ? 0.85 : 2, (k * Math.PI) / 5])
      .map(([far, turn]) => [far * Math.sin(turn), -far * Math.cos(turn)]));
  }
  if (kind === "cross") {
    const a = 0.4, b = 1.3;
    return around([[0, -a], [b - a, -b], [b, a - b], [a, 0], [b, b - a], [b - a, b], [0, a], [a - b, b], [-b, b - a], [-a, 0], [-b, a - b],
      [a - b, -b]]);
  }
  return `M${(x - r).toFixed(1)} ${y.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
}
const MARKERS = ["circle", "square", "up", "diamond", "down"];
const stroke = (slot) => `k${slot % 5}${slot >= 5 ? " d1" : ""}`;

/* Horizontal lines with their numbers left of them. */
const levels = (places, y, left, right) => places.map(([value, text]) => [
  svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
  svg("text", { class: "quiet", x: left - 7, y: y(value) + 4, "text-anchor": "end" }, text)]);

/* Objective against gap */

const kind = (row) => (row.selected ? "star" : row.status === "not finite" ? "cross" : row.front ? "diamond" : "circle");
let dots = []; // {row, x, y, node} as last drawn

function drawScatter() {
  const box = $("scatter"), width = box.clientWidth, height = box.clientHeight;
  box.replaceChildren();
  dots = [];
  if (width < NARROWEST) return;
  if (!judged.length) { box.append(el("p", {}, "No member was judged.")); return; }
  const chosen = rows[state.chosen];
  const optimum = data.optimum ? data.optimum.value : chosen.optimum;
  const positive = judged.map((row) => row.gap_mean).filter((value) => value > data.noGap);
  const [low, high] = positive.length ? [Math.min(...positive) / 1.5, Math.max(...positive) * 1.5] : [1e-4, 1e-3];
  const zeros = positive.length < judged.length;
  const yRange = padded([...judged.map((row) => row.objective), ...(missing(optimum) ? [] : [optimum])], 0.07);
  const yTicks = ticks(...yRange, 5);
  const left = 22 + 7 * Math.max(...yTicks.map(([, text]) => text.length)), right = width - 10, top = 24, bottom = height - 42;
  const begin = left + (zeros ? EDGE : 0);
  const y = linear(yRange, [bottom, top]), log = logarithmic([low, high], [begin, right]);
  const x = (value) => (value > data.noGap ? log(value) : left + EDGE / 2);
  const picture = svg("svg", { role: "group", "aria-label": `${data.objective} against mean incentive gap, ${judged.length} members` },
    levels(yTicks, y, left, right),
    svg("line", { class: "frame", x1: left, x2: right, y1: bottom, y2: bottom }),
    (positive.length ? decades(low, high, (right - begin) / 70) : []).filter(([value]) => log(value) > begin + (zeros ? 24 : -1))
      .map(([value, text]) => [
      svg("line", { class: "frame", x1: log(value), x2: log(value), y1: bottom, y2: bottom + 5 }),
      svg("text", { class: "quiet", x: log(value), y: bottom + 18, "text-anchor": log(value) > right - 20 ? "end" : "middle" }, text)]),
    zeros && [svg("line", { class: "frame", x1: begin, x2: begin, y1: top, y2: bottom }),
      svg("text", { class: "quiet zero", x: left + EDGE / 2, y: bottom + 18, "text-anchor": "middle" }, "no gap")],
    svg("text", { class: "quiet", x: right, y: height - 6, "text-anchor": "end" }, "mean incentive gap, strong search →"),
    svg("text", { class: "quiet", x: 2, y: 12 }, `↑ ${data.objective}`));
  const many = judged.length > 200;
  if (!many) {
    picture.append(...judged.filter((row) => row.objective_std_error).map((row) => svg("line", {
      class: state.shown[row.place] ? "error" : "error away", x1: x(row.gap_mean), x2: x(row.gap_mean),
      y1: y(row.objective - row.objective_std_error), y2: y(row.objective + row.objective_std_error) })));
  }
  picture.append(...staircase(chosen.problem, x, y, right));
  if (!missing(optimum)) {
    const words = data.optimum ? data.optimum.words.split(",")[0] : "exact optimum of the chosen problem";
    picture.append(svg("line", { class: "level", x1: left, x2: right, y1: y(optimum), y2: y(optimum) }),
      svg("text", { class: "halo optimum", x: right - 4, y: y(optimum) - 6, "text-anchor": "end" }, `${words} ${worth(optimum)}`));
  }
  const size = many ? 3.6 : 5;
  const order = [...judged].sort((a, b) => a.selected - b.selected || a.front - b.front);
  for (const row of order) {
    const away = !state.shown[row.place];
    const node = svg("path", {
      class: `dot${row.front ? " front" : ""}${row.selected ? " selected" : ""}${away ? " away" : ""}`,
      d: shape(kind(row), x(row.gap_mean), y(row.objective), size), "data-place": row.place, role: "button",
      tabindex: row.place === chosen.place ? 0 : -1, "aria-label": inWords(row) }, svg("title", {}, inWords(row)));
    picture.append(node);
    dots.push({ row, x: x(row.gap_mean), y: y(row.objective), node });
  }
  if (dots.length && missing(chosen.objective)) dots[0].node.setAttribute("tabindex", 0);
  const ring = dots.find((dot) => dot.row === chosen);
  if (ring) picture.append(svg("circle", { class: "ring", cx: ring.x, cy: ring.y, r: size * 2.3 }));
  box.append(picture);
}

/* The most that is to be had at each gap or less, among the rules for one problem. */
function staircase(problem, x, y, right) {
  const front = judged.filter((row) => row.front && row.problem === problem)
    .sort((a, b) => a.gap_mean - b.gap_mean || b.objective - a.objective);
  if (!front.length) return [];
  let path = `M${x(front[0].gap_mean)} ${y(front[0].objective)}`;
  for (const row of front.slice(1)) path += `H${x(row.gap_mean)}V${y(row.objective)}`;
  return [svg("path", { class: "staircase", d: `${path}H${right}` })];
}

/* A finger is wider than a point: what counts is which point is nearest. */
function nearest(event) {
  const box = $("scatter").getBoundingClientRect();
  const far = (dot) => Math.hypot(dot.x - (event.clientX - box.left), dot.y - (event.clientY - box.top));
  const near = dots.filter((dot) => state.shown[dot.row.place] && far(dot) < 28);
  return near.length ? near.reduce((a, b) => (far(b) < far(a) ? b : a)).row : null;
}

/* Training: the objective above, the gap below, over the same steps. */

function curvesOf(box, places, slot) {
  const width = box.clientWidth, height = box.clientHeight;
  box.replaceChildren();
  if (width < NARROWEST) return;
  const number = (values) => values.filter((value) => !missing(value));
  const drawn = places.map((place) => {
    const [steps, objective, gaps] = rows[place].curve;
    return { place, steps: data.steps[steps], objective, gaps: gaps.map((value) => (value > 0 ? value : null)) };
  }).filter((each) => each.steps.length);
  // The first steps, from a random rule, would flatten everything after them.
  const later = drawn.flatMap((each) => number(each.objective.slice(Math.floor(each.objective.length / 20))));
  if (!later.length) {
    box.append(el("p", {}, places.length ? "Nothing was written down in training." : "Tick members in the table to compare them."));
    return;
  }
  const optima = new Set(drawn.map((each) => rows[each.place].optimum));
  const optimum = optima.size === 1 ? [...optima][0] : null;
  const gaps = drawn.flatMap((each) => number(each.gaps));
  const yRange = padded([...later, ...(missing(optimum) ? [] : [optimum])], 0.07), yTicks = ticks(...yRange, 3);
  const [low, high] = gaps.length ? [Math.min(...gaps) / 1.3, Math.max(...gaps) * 1.3] : [1e-4, 1e-3];
  const middle = gaps.length ? Math.round(0.55 * height) : height - 40, above = middle + 30;
  const gTicks = decades(low, high, (height - 40 - above) / 22);
  const left = 14 + 7 * Math.max(...[...yTicks, ...gTicks].map(([, text]) => text.length)), right = width - 12, bottom = height - 40;
  const last = Math.max(...drawn.map((each) => each.steps[each.steps.length - 1]));
  const x = linear([0, last], [left, right]), y = linear(yRange, [middle, 20]), g = logarithmic([low, high], [bottom, above]);
  const clip = `clip-${box.id}`;
  const picture = svg("svg", { role: "img", "aria-label": `Training of ${drawn.map((each) => rows[each.place].id).join(", ")}` },
    svg("clipPath", { id: clip }, svg("rect", { x: left, y: 14, width: right - left + 4, height: middle - 12 })),
    levels(yTicks, y, left, right),
    gaps.length && levels(gTicks, g, left, right),
    svg("text", { class: "quiet", x: 2, y: 11 }, `${data.objective}, mean of the batches`),
    gaps.length && svg("text", { class: "quiet", x: 2, y: above - 9 }, "mean gap, by the search of training"),
    svg("line", { class: "frame", x1: left, x2: right, y1: bottom, y2: bottom }),
    ticks(0, last, Math.max(2, width / 130)).map(([value, text]) => svg("text",
      { class: "quiet", x: Math.min(x(value), right - 8), y: bottom + 17, "text-anchor": "middle" }, text)),
    svg("text", { class: "quiet", x: right, y: height - 6, "text-anchor": "end" }, "training step →"),
    !missing(optimum) && [svg("line", { class: "level", x1: left, x2: right, y1: y(optimum), y2: y(optimum) }),
      svg("text", { class: "halo", x: right - 4, y: y(optimum) - 5, "text-anchor": "end" }, `exact optimum ${worth(optimum)}`)]);
  for (const each of [...drawn].sort((a, b) => (a.place === state.chosen) - (b.place === state.chosen))) {
    const own = slot(each.place), thick = each.place === state.chosen && drawn.length > 1 ? " chosen" : "";
    for (const [values, scale, within] of [[each.objective, y, `url(#${clip})`], [each.gaps, g, null]]) {
      picture.append(svg("path", { class: `curve ${stroke(own)}${thick}`, d: path(each.steps, values, x, scale), "clip-path": within }));
      const every = Math.max(1, Math.ceil(values.length / 9));
      picture.append(svg("g", { "clip-path": within }, values.map((value, at) => (missing(value) || (at + own) % every ? null
        : svg("path", { class: `mark ${stroke(own)}${thick}`, d: shape(MARKERS[own % 5], x(each.steps[at]), scale(value), 3.6) })))));
    }
  }
  box.append(picture);
}

/* A line through the points, broken where one is missing. */
function path(steps, values, x, y) {
  let text = "", pen = "M";
  values.forEach((value, at) => {
    if (missing(value)) { pen = "M"; return; }
    text += `${pen}${x(steps[at]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return text;
}

const swatch = (slot) => svg("svg", { viewBox: "0 0 26 14", width: 26, height: 14, "aria-hidden": "true" },
  svg("line", { class: stroke(slot), x1: 0, x2: 26, y1: 7, y2: 7, "stroke-width": 3 }),
  svg("path", { class: `mark ${stroke(slot)}`, d: shape(MARKERS[slot % 5], 13, 7, 4) }));
