/* The page: its heading, the panel of the member that is looked at, and what happens when something is pressed. */

/* The best first, else what the fewest beat, else the first. */
const selected = rows.find((row) => row.selected);
state.chosen = (selected || judged.find((row) => row.front) || rows[0]).place;

function choose(place, asked) {
  state.chosen = place;
  for (const line of lines) line.removeAttribute("aria-current");
  lines[place].setAttribute("aria-current", "true");
  if (state.shown[place]) reachable(lines[place]);
  reveal(place);
  tell(rows[place]);
  if (asked) $("said").textContent = inWords(rows[place]);
  drawScatter();
  drawCurves();
  // In one column the panel is below what was pressed.
  if (asked && $("detail").getBoundingClientRect().top > 0.8 * window.innerHeight) $("detail").scrollIntoView({ block: "start" });
}

function pick(place, wanted) {
  const taken = new Set(state.picked.values());
  if (wanted && taken.size < CURVES) state.picked.set(place, [...Array(CURVES).keys()].find((slot) => !taken.has(slot)));
  else state.picked.delete(place);
  const full = state.picked.size === CURVES;
  lines.forEach((line, at) => {
    const box = line.querySelector("input"), label = box.parentElement, slot = state.picked.get(at);
    box.checked = slot !== undefined;
    box.disabled = full && slot === undefined;
    if (label.children.length > 1) label.lastChild.remove();
    if (slot !== undefined) label.append(swatch(slot));
  });
  drawCurves();
}

function drawCurves() {
  const places = [...state.picked.keys()];
  curvesOf($("curves"), places, (place) => state.picked.get(place));
  $("curves-notes").replaceChildren(...places.map((place) => el("span", { class: "legend" }, swatch(state.picked.get(place)),
    " ", broken(rows[place].id), rows[place].selected && data.sweep && " (selected)")),
  el("p", {}, rows.length > 1 && `Tick rows of the table to add their curves, ${CURVES} at most.`));
  const own = $("detail-curves");
  if (own) curvesOf(own, [state.chosen], () => 0);
}

/* Heading */

function buildHeading() {
  $("heading").append(...data.heading.flatMap(([word, text]) => term(word, text)));
  const best = $("best");
  if (!data.sweep || !selected) {
    const why = data.rows.length < data.planned ? "The sweep is not finished: no member has been selected yet." : "No member was selected.";
    best.append(el("h2", { id: "best-title" }, data.sweep ? why : "The run"));
    if (data.sweep) return;
  } else {
    best.append(el("h2", { id: "best-title" }, "Selected: ",
      el("button", { type: "button", click: () => choose(selected.place, true) }, broken(selected.id))));
  }
  const row = selected || rows[0];
  const number = (text, what) => el("p", {}, el("span", { class: "big" }, text), el("span", { class: "what" }, what));
  best.append(number(worthWithError(row), data.objective), number(gap(row.gap_mean), `mean gap, largest ${gap(row.gap_max)}`));
  if (!missing(row.ratio_to_optimum)) best.append(number(percent(row.ratio_to_optimum), `of the exact optimum, ${worth(row.optimum)}`));
  if (data.rule) best.append(el("p", { class: "rule" }, `Rule: ${data.rule}. All by the strong evaluation on fresh profiles.`));
}

function buildNotes() {
  const legend = (which, className, words) => el("span", { class: "legend" }, svg("svg", { viewBox: "0 0 16 14", width: 16, height: 14,
    "aria-hidden": "true" }, svg("path", { class: `dot ${className}`, d: shape(which, 8, 7, 4.5) })), ` ${words}`);
  fill($("scatter-notes"), {}, [
    selected && legend("star", "selected", data.sweep ? "selected" : "the run"),
    judged.some((row) => row.front && !row.selected) && legend("diamond", "front", "Pareto front: none is better in both"),
    judged.some((row) => !row.front) && legend("circle", "", "other members"),
    judged.some((row) => row.status === "not finite") && legend("cross", "", "was not finite; its last good state"),
    judged.length > 0 && el("p", {}, data.optimum && `Dashed: ${data.optimum.words}, ${worth(data.optimum.value)}. `,
      new Set(rows.map((row) => row.problem)).size > 1
        && "The front is that of the problem chosen; members of other problems have their own. ",
      judged.length < rows.length && `Not drawn, because not judged: ${rows.length - judged.length}. `)]);
}

/* The member that is looked at */

function tell(row) {
  const judgement = missing(row.objective) ? "not judged"
    : `${worthWithError(row)} at a mean gap of ${gap(row.gap_mean)}, largest ${gap(row.gap_max)}`;
  const optimum = missing(row.optimum) ? (missing(row.optimum_upper_bound) ? "not known" : `at most ${worth(row.optimum_upper_bound)}`)
    : `${worth(row.optimum)}${missing(row.ratio_to_optimum) ? "" : `, of which ${percent(row.ratio_to_optimum)} is reached`}`;
  const trained = missing(row.training_objective) ? [] : term("while training",
    `${worth(row.training_objective)} at a gap of ${gap(row.training_gap)}, by the search of training`);
  const place = data.sweep ? `members/${row.id}/config.yaml` : "config.yaml";
  const quoted = (text) => (/^[\w.,=+@%:/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const where = data.sweep ? "in the folder of the sweep, data files and all" : "in the folder of the run";
  const marks = [row.selected && data.sweep && "★ selected", row.front && data.sweep && "◆ on the Pareto front", status(row)];
  const text = config(row);
  $("detail").replaceChildren(
    el("h2", { id: "detail-title" }, broken(row.id)),
    el("p", {}, marks.filter(Boolean).join(" · ")),
    el("dl", { class: "facts" },
      data.keys.filter((key) => key in row.set).flatMap((key) => term(key, setting(row.set[key]))),
      term(data.objective, judgement), trained, term("exact optimum", optimum),
      term("took", `${seconds(row.seconds_training)} s of training over ${digits(row.steps, 7)} steps, `
        + `${seconds(row.seconds_evaluation)} s of evaluation`)),
    el("h3", {}, data.sweep ? "What it learned" : "What it learned, and how"),
    ...(row.pictures.length ? row.pictures.map(([name, uri]) => enlarged(uri, `${name} of ${row.id}`))
      : [el("p", { class: "none" }, rows.some((each) => each.pictures.length)
        ? "No picture of this member is in this page; icsap report --pictures draws more." : "This page was made without pictures.")]),
    ...(data.sweep ? [el("h3", {}, "How it was trained"), el("div", { id: "detail-curves", class: "plot low" })] : []),
    el("h3", {}, "To run it again"),
    ...[["icsap train config.yaml", "with this problem file saved as config.yaml"],
      [`icsap train ${quoted(place)} --out ${quoted(`runs/${row.id}`)}`, where]]
      .map(([command, how]) => el("p", {}, el("code", {}, command), " ", copier(command, "Copy"), el("br"), el("small", {}, how))),
    el("div", { class: "buttons" }, copier(text, "Copy the problem file"),
      el("button", { type: "button", click: () => save(text) }, "Save config.yaml")),
    el("pre", { id: "config", tabindex: 0, "aria-label": "problem file" }, text),
    el("h3", {}, "More"),
    el("dl", { class: "facts" }, row.facts.flatMap((fact) => term(...data.facts[fact]))),
    el("a", { class: "back", href: "#members" }, "↑ back to the table"));
}

/* A picture, which fills the window when it is pressed. */
function enlarged(uri, words) {
  const open = () => {
    $("large").replaceChildren(el("img", { src: uri, alt: words }));
    $("large").showModal();
  };
  return el("button", { type: "button", class: "zoom", title: "enlarge", click: open }, el("img", { src: uri, alt: words }));
}

function copier(text, words) {
  const button = el("button", { type: "button", click: async () => {
    button.textContent = (await copied(text)) ? "Copied" : "Select it and copy by hand";
    setTimeout(() => { button.textContent = words; }, 2000);
  } }, words);
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A page from a file may be refused the clipboard; a selected text may be copied all the same.
    const field = el("textarea", { class: "unseen" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function save(text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/yaml" })), download: "config.yaml" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* Contrast: as the file asks, else as the machine does, until the button is pressed. */

function contrast(on) {
  document.documentElement.dataset.contrast = on ? "on" : "off";
  $("contrast").setAttribute("aria-pressed", on);
}
const asked = document.documentElement.dataset.contrast;
document.documentElement.dataset.drawn = asked === "on" ? "contrast" : "colours"; // the pictures inside
contrast(asked === "on" || (asked === "auto" && matchMedia("(prefers-contrast: more)").matches));
$("contrast").addEventListener("click", () => contrast(document.documentElement.dataset.contrast !== "on"));

/* Everything put together */

if (!data.sweep) {
  $("members-title").textContent = "In numbers";
  $("curves-title").textContent = "Training";
}
buildHeading();
buildNotes();
buildTable();
const statuses = [...new Set(rows.map((row) => row.status))];
$("status").append(el("option", { value: "" }, "all"), ...statuses.map((each) => el("option", { value: each },
  `${each} (${rows.filter((row) => row.status === each).length})`)));
for (const name of ["input", "change"]) $("filters").addEventListener(name, filter);
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("reset", () => setTimeout(filter));
$("filters").hidden = !data.sweep;

$("large").addEventListener("click", () => $("large").close());
$("scatter").addEventListener("click", (event) => {
  const row = nearest(event);
  if (row) choose(row.place, true);
});
$("scatter").addEventListener("keydown", (event) => {
  const at = event.target.dataset.place, way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (at === undefined) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(Number(at), true);
    dots.find((dot) => dot.row.place === Number(at)).node.focus();
  } else if (way) {
    event.preventDefault();
    const along = dots.filter((dot) => state.shown[dot.row.place]).sort((a, b) => a.x - b.x || b.y - a.y);
    const next = along[along.findIndex((dot) => dot.row.place === Number(at)) + way];
    if (next) next.node.focus();
  }
});

const first = [...judged].sort((a, b) => b.selected - a.selected || b.front - a.front || a.gap_mean - b.gap_mean).slice(0, 5);
for (const row of first.length ? first : rows.slice(0, 1)) pick(row.place, true);
filter();
choose(state.chosen, false);

/* Drawn for the width there is, and anew when that changes: a phone turned, a window made wider, a page that was not yet shown. */
let width = $("scatter").clientWidth;
new ResizeObserver(() => {
  if ($("scatter").clientWidth === width) return;
  width = $("scatter").clientWidth;
  drawScatter();
  drawCurves();
}).observe($("scatter"));
