/* The table: its rows are made once, and from then on only put in another order or taken out. Of many only the first are laid out, and more
   as one scrolls: laying out thousands takes a browser longer than anybody wants to wait for. */

const PORTION = 200;

/* A column: what it is called, whether it holds numbers, what it is sorted by, what it shows, and which way it is sorted first. */
const columns = [
  { name: "#", title: "in the order of the sweep", number: true, value: (row) => row.place + 1, show: numbered },
  ...data.keys.map((key) => ({
    name: shortKey(key), title: key, number: rows.every((row) => missing(row.set[key]) || typeof row.set[key] === "number"),
    value: (row) => row.set[key], show: (row) => (key in row.set ? setting(row.set[key]) : "—") })),
  { name: `${data.objective} ± error`, title: "by the strong evaluation, on fresh profiles", number: true, down: true,
    value: (row) => row.objective, show: worthWithError },
  { name: "mean gap", title: "what an agent gains by the best deviation found, on average", number: true,
    value: (row) => row.gap_mean, show: (row) => gap(row.gap_mean) },
  { name: "optimum", title: "the exact best value, or a bound on it", number: true, value: (row) => row.optimum ?? row.optimum_upper_bound,
    show: (row) => (missing(row.optimum) && !missing(row.optimum_upper_bound) ? `≤ ${worth(row.optimum_upper_bound)}`
      : worth(row.optimum)) },
  { name: "reached", title: "share of the exact optimum", number: true, down: true, value: (row) => row.ratio_to_optimum,
    show: (row) => percent(row.ratio_to_optimum) },
  { name: "status", value: status, show: status },
  { name: "seconds", title: "of training", number: true, value: (row) => row.seconds_training,
    show: (row) => seconds(row.seconds_training) },
  { name: "steps", number: true, value: (row) => row.steps, show: (row) => digits(row.steps, 7) },
  { name: "largest gap", title: "of any agent on any profile", number: true, value: (row) => row.gap_max, show: (row) => gap(row.gap_max) },
  { name: "id", value: (row) => row.id, show: (row) => row.id },
].filter((column) => !["optimum", "reached"].includes(column.name) || rows.some((row) => !missing(column.value(row))));

let lines = []; // the row of each member
let order = rows.map((row) => row.place); // as it was sorted
let listed = order; // of these the ones that pass the filters
let sorted = { column: 0, down: false };

function numbered(row) {
  return el("button", { type: "button", class: "open", tabindex: -1, "aria-label": `look at ${inWords(row)}` }, String(row.place + 1));
}

function buildTable() {
  const head = document.querySelector("#table thead tr");
  head.append(el("th", { scope: "col", class: "text" }, el("span", { class: "unseen" }, "draw its curve")));
  columns.forEach((column, at) => head.append(el("th", { scope: "col", class: column.number ? null : "text", "aria-sort": "none" },
    el("button", { type: "button", title: column.title, click: () => sortBy(at) }, column.name))));
  lines = rows.map((row) => {
    const tick = el("input", { type: "checkbox", tabindex: -1, "aria-label": `draw the curve of ${row.id}` });
    return el("tr", { "data-place": row.place, class: row.selected ? "best" : null },
      el("td", { class: "pick" }, el("label", {}, tick)),
      columns.map((column) => el("td", { class: column.number ? null : "text" }, column.show(row),
        column.name === "#" && el("span", { class: "star", title: row.selected ? "selected" : row.front ? "on the Pareto front" : null },
          row.selected ? " ★" : row.front ? " ◆" : ""))));
  });
  $("scroller").addEventListener("scroll", (event) => {
    const box = event.currentTarget;
    if (box.scrollTop + 2 * box.clientHeight > box.scrollHeight) lay(PORTION);
  }, { passive: true });
  const body = document.querySelector("#table tbody");
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (line && !event.target.closest(".pick")) choose(Number(line.dataset.place), true);
  });
  body.addEventListener("change", (event) => pick(Number(event.target.closest("tr").dataset.place), event.target.checked));
  body.addEventListener("keydown", arrows);
  head.children[1].setAttribute("aria-sort", "ascending");
}

/* Lay out that many more of the rows that are listed. */
function lay(count) {
  const body = document.querySelector("#table tbody"), there = body.children.length;
  body.append(...listed.slice(there, there + count).map((place) => lines[place]));
}

/* Lay the rows out anew, in their order and filtered. */
function list() {
  listed = order.filter((place) => state.shown[place]);
  document.querySelector("#table tbody").replaceChildren();
  $("scroller").scrollTop = 0;
  lay(PORTION);
  const first = lines[listed.includes(state.chosen) ? state.chosen : listed[0]];
  if (first) reachable(first.isConnected ? first : lines[listed[0]]);
}

/* Bring a member's row to where it is seen, without moving the page. */
function reveal(place) {
  const at = listed.indexOf(place), box = $("scroller");
  if (at < 0) return;
  lay(at + 1 - document.querySelector("#table tbody").children.length);
  const from = lines[place].offsetTop - 2 * lines[place].offsetHeight, to = lines[place].offsetTop + 2 * lines[place].offsetHeight;
  if (from < box.scrollTop || to > box.scrollTop + box.clientHeight) box.scrollTop = from - box.clientHeight / 3;
}

/* Up and down walk along the rows; Tab leaves the table. */
function arrows(event) {
  const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!way) return;
  event.preventDefault();
  const from = event.target.closest("tr");
  if (way > 0 && !from.nextElementSibling) lay(PORTION);
  const line = way > 0 ? from.nextElementSibling : from.previousElementSibling;
  if (line) reachable(line).querySelector(event.target.type === "checkbox" ? "input" : ".open").focus();
}

/* One row at a time can be reached by Tab. */
function reachable(line) {
  for (const node of document.querySelectorAll("#table tbody [tabindex='0']")) node.setAttribute("tabindex", -1);
  for (const node of line.querySelectorAll("input, .open")) node.setAttribute("tabindex", 0);
  return line;
}

/* Numbers as numbers, before text; what is missing last, whichever way. */
function compare(a, b, down) {
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const numbers = [a, b].map((each) => typeof each === "number");
  if (numbers[0] !== numbers[1]) return numbers[1] - numbers[0];
  const found = numbers[0] ? a - b : setting(a).localeCompare(setting(b), "en", { numeric: true });
  return down ? -found : found;
}

function sortBy(at) {
  const column = columns[at];
  sorted = { column: at, down: sorted.column === at ? !sorted.down : Boolean(column.down) };
  const values = rows.map(column.value);
  order = rows.map((row) => row.place).sort((a, b) => compare(values[a], values[b], sorted.down) || a - b);
  document.querySelectorAll("#table thead th[aria-sort]").forEach((head, place) => head.setAttribute("aria-sort",
    place !== at ? "none" : sorted.down ? "descending" : "ascending"));
  list();
}

const haystacks = rows.map((row) => [row.id, status(row), row.front ? "front" : "", row.selected ? "selected" : "",
  ...Object.entries(row.set).flatMap(([key, value]) => [`${key}=${setting(value)}`, `${shortKey(key)}=${setting(value)}`])]
  .join(" ").toLowerCase());

function filter() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const typed = $("most").value.trim().replace(",", ".");
  const most = typed === "" ? Infinity : Number(typed);
  $("most").setAttribute("aria-invalid", Number.isNaN(most));
  const wanted = $("status").value, front = $("front").checked;
  rows.forEach((row, place) => {
    const passes = words.every((word) => haystacks[place].includes(word)) && (!wanted || row.status === wanted) && (!front || row.front)
      && (typed === "" || Number.isNaN(most) || (!missing(row.gap_mean) && row.gap_mean <= most));
    state.shown[place] = passes;
  });
  const count = state.shown.filter(Boolean).length;
  $("count").textContent = Number.isNaN(most) ? "The gap should be a number, for example 0.001 or 1e-3."
    : `${count} of ${rows.length} shown`;
  list();
  drawScatter();
}
