/* What the other scripts share: the data of this page, what is looked at, and ways to make elements and to write numbers.
   Whatever comes from the data is set as text or as an attribute and never parsed as HTML. */

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
rows.forEach((row, place) => { row.place = place; });

const CURVES = 10; // as many as five colours and two kinds of line tell apart
const state = {
  chosen: 0, // the member that the panel tells of
  picked: new Map(), // members whose curves are drawn: place to slot, 0 … CURVES − 1
  shown: rows.map(() => true), // those that pass the filters
};

const $ = (id) => document.getElementById(id);
const missing = (value) => value === null || value === undefined;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && !missing(value)) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => !missing(child) && child !== false));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/* Numbers */

function digits(value, count) {
  if (missing(value)) return "—";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(count - 1).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(count)));
}

/* As many decimals as leave four digits of the largest objective there is, so that a column lines up. */
const largest = Math.max(...rows.flatMap((row) => [row.objective, row.optimum]).filter((value) => !missing(value)).map(Math.abs), 0);
const power = largest > 0 ? Math.floor(Math.log10(largest)) : 0;
const decimals = Math.min(8, power >= 0 ? Math.max(0, 4 - power) : 3 - power);
const worth = (value) => (missing(value) ? "—" : value.toFixed(decimals));
const worthWithError = (row) => worth(row.objective)
  + (row.objective_std_error && !missing(row.objective) ? ` ± ${worth(row.objective_std_error)}` : "");
// What is less is rounding.
const gap = (value) => (value > 0 && value <= data.noGap ? `< ${digits(data.noGap, 1)}` : digits(value, 2));
const percent = (value) => (missing(value) ? "—" : `${(100 * value).toFixed(1)} %`);
const seconds = (value) => (missing(value) ? "—" : value >= 100 ? value.toFixed(0) : value.toFixed(1));
const raised = (whole) => `10${String(whole).replace(/./g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(sign)])}`;

/* A value of a problem file as one would write it there. */
function setting(value) {
  if (missing(value)) return "null";
  if (typeof value === "number") return digits(value, 6);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/* Swept keys by their last part, where that names one alone. */
const lasts = data.keys.map((key) => key.split(".").pop());
const shortKey = (key) => {
  const last = key.split(".").pop();
  return lasts.filter((each) => each === last).length === 1 ? last : key;
};

function status(row) {
  if (row.status === "not finite") return missing(row.bad_step) ? row.status : `${row.status} at step ${row.bad_step}`;
  return row.status === "dropped" ? `dropped at step ${row.steps}` : row.status;
}

/* "revenue 0.5480 ± 0.0004 at a mean gap of 0.00012": no objective is told without its gap. */
const inWords = (row) => (missing(row.objective) ? `${row.id}: ${status(row)}, not judged`
  : `${row.id}: ${data.objective} ${worthWithError(row)} at a mean gap of ${gap(row.gap_mean)}`);

const judged = rows.filter((row) => !missing(row.objective) && !missing(row.gap_mean));
const config = (row) => row.config.map((line) => data.lines[line]).join("\n") + "\n";
/* A long name, which may be broken where a part of it ends. */
const broken = (text) => text.split(/(?<=[_.])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part]));
const term = (word, text) => [el("dt", {}, broken(word)), el("dd", {}, text)];
