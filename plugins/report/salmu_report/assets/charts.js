// Pictures are drawn when they come into sight, and again when the theme changes.

const drawings = new Map();

/** Draw a specification into an element, once it can be seen. */
function draw(element, spec, datasets) {
  const { seen = false, view } = drawings.get(element) ?? {};
  drawings.set(element, { spec, datasets, seen, view });
  if (seen) redraw(element);
  else sight.observe(element);
}

async function redraw(element) {
  const drawing = drawings.get(element);
  const { spec, datasets, view } = drawing;
  if (view) view.finalize();
  const options = { ast: true, actions: false, renderer: "svg", config: data.configs[shade()], defaultStyle: false,
    tooltip: { disableDefaultStyle: true } };
  const result = await vegaEmbed(element, { ...spec, datasets: { ...spec.datasets, ...datasets() } }, options);
  // The description of the figure is its element's; what is drawn adds nothing that can be read aloud.
  element.querySelector("svg")?.setAttribute("aria-hidden", "true");
  if (drawings.get(element) === drawing) drawing.view = result.view;
  else result.view.finalize(); // drawn anew, or gone, in the meantime
}

const sight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const drawing = drawings.get(target);
    if (!isIntersecting || !drawing || drawing.seen) continue;
    drawing.seen = true;
    sight.unobserve(target);
    redraw(target);
  }
}, { rootMargin: "300px" });

function forget(elements) {
  for (const element of elements) {
    drawings.get(element)?.view?.finalize();
    sight.unobserve(element);
    drawings.delete(element);
  }
}

shadeListeners.push(() => {
  for (const [element, { seen }] of drawings) if (seen) redraw(element);
});
async function drawAll() {
  for (const [element, drawing] of [...drawings]) {
    if (drawing.seen || drawings.get(element) !== drawing) continue;
    drawing.seen = true;
    sight.unobserve(element);
    await redraw(element);
  }
}
window.addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
  drawAll();
});
// What is further down is drawn when there is nothing else to do, so that a printer finds it.
window.addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(drawAll));

// Trade-offs and cost.
const shownLines = () => (data.views[byId("seed").value] ?? []).filter((line) => wanted({ ...line, budget: line.exact, seed: byId("seed").value }, ""));
const shownRuns = () => data.runs.filter((run) => wanted(run, "run"));
for (const element of document.querySelectorAll(".chart[data-spec]")) {
  const name = element.dataset.spec;
  const datasets = name === "cost" ? () => ({ runs: shownRuns() })
    : () => ({ lines: shownLines().filter((line) => Object.hasOwn(line, name)), references: data.references.filter((mark) => Object.hasOwn(mark, name)) });
  const again = () => {
    const nothing = name === "cost" && !shownRuns().length; // its axis would have no ends
    element.parentElement.hidden = nothing;
    if (!nothing) draw(element, data.specs[name], datasets);
  };
  again();
  filterListeners.push(again);
}

/** Replace a container's panels: [title for those who can't see it, specification, data sets]. */
function panels(container, wantedPanels, nothing) {
  forget(container.querySelectorAll(".chart"));
  container.replaceChildren();
  if (!wantedPanels.length) container.append(make("p", { class: "panel" }, nothing));
  for (const [label, spec, datasets] of wantedPanels) {
    const element = make("div", { class: "chart", role: "img", "aria-label": label });
    container.append(make("figure", {}, element));
    draw(element, spec, () => datasets);
  }
}

// Histograms: one line with all splits, or one split with all lines.
const { panels: splits, lines: histogramLines } = data.histograms;
function bins(panel, line) {
  return ["compromised", "clean", "unlearned"].flatMap((name) => {
    // A line that is not in every world stands beside the reference models of its own.
    const shares = panel.shares[name === "unlearned" ? line : `${line}:${name}`] ?? panel.shares[name] ?? [];
    if (!shares.length) return [];
    const rows = shares.map((share, i) => ({ model: name, share, start: panel.start + i * panel.width, end: panel.start + (i + 1) * panel.width }));
    return [...rows, { ...rows.at(-1), share: 0, start: rows.at(-1).end, end: rows.at(-1).end }];
  });
}
function showHistograms() {
  const line = byId("histogram-line").value;
  const split = byId("histogram-split").value;
  const chosen = histogramLines.map((name, i) => [name, String(i)]).filter(([, i]) => line === "" || line === i);
  const wantedPanels = chosen.flatMap(([name, i]) => splits.filter((panel) => !split || panel.split === split).filter((panel) => Object.hasOwn(panel.shares, i)).map((panel) => [
    `Histogram of the cosines of ${panel.split} in Compromised, Clean and after ${name}.`,
    { ...panel.spec, title: { text: panel.spec.layer ? (panel.spec.title.text ?? panel.spec.title) : panel.split, subtitle: name } },
    { bins: bins(panel, i) },
  ]));
  panels(byId("histogram-panels"), wantedPanels, "There are no cosines to show.");
}
fill(byId("histogram-line"), [...histogramLines.map((name, i) => [String(i), name]), ["", "all methods"]]);
for (const panel of splits) byId("histogram-split").append(make("option", { value: panel.split }, panel.split));
byId("histogram-line").addEventListener("change", () => {
  if (byId("histogram-line").value === "" && byId("histogram-split").value === "") byId("histogram-split").selectedIndex = Math.min(1, splits.length);
  showHistograms();
});
byId("histogram-split").addEventListener("change", () => {
  if (byId("histogram-split").value === "" && byId("histogram-line").value === "") byId("histogram-line").selectedIndex = 0;
  showHistograms();
});
showHistograms();

// Attacks: what each brings back from a line, and its figure from stage to stage, in three models.
function showAttacks() {
  const line = data.attacks[Number(byId("attack-line").value)];
  const { recovered, stages } = data.specs;
  const shares = line.shares.length ? [[
    `What each attack brings back from ${line.label}, with its interval; the same figures stand in the table above.`,
    { ...recovered, height: 28 * line.shares.length, title: line.label }, { shares: line.shares },
  ]] : [];
  const curves = line.curves.map(({ attack, figure, curve, told, points }) => [
    `${figure} of ${line.label}, Clean and Compromised from stage to stage of ${attack}${curve && `, ${curve}`}${told && `; ${told}`}.`,
    { ...stages, title: { text: attack, subtitle: [curve, told].filter(Boolean) }, encoding: { ...stages.encoding, y: { ...stages.encoding.y, title: figure } } },
    { points },
  ]);
  panels(byId("attack-panels"), [...shares, ...curves], "Nothing of which a share could be brought back.");
}
if (byId("attack-line")) {
  fill(byId("attack-line"), data.attacks.map((line, i) => [String(i), line.label]));
  byId("attack-line").addEventListener("change", showAttacks);
  if (data.attacks.length) showAttacks();
}

// Training curves.
function showCurves() {
  const runs = shownRuns().filter((run) => run.method === byId("curve-method").value);
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))];
  const wantedPanels = names.map((name) => [
    `Training curve of ${name}; a line for each run of ${byId("curve-method").value}.`,
    // Many lines of one picture are seen through each other.
    { ...data.specs.curve, title: name, mark: { ...data.specs.curve.mark, opacity: Math.max(0.3, Math.min(1, 6 / runs.length)) } },
    { points: runs.filter((run) => Object.hasOwn(run.curves, name)).flatMap((run) => run.curves[name].map(([step, value]) => ({ run: run.run, budget: run.budget, step, value }))) },
  ]);
  panels(byId("curve-panels"), wantedPanels, "It logged nothing.");
}
const withCurves = new Set(data.runs.filter((run) => Object.keys(run.curves).length).map((run) => run.method));
const curveMethods = [...new Set(data.runs.map((run) => run.method))].sort((a, b) => withCurves.has(b) - withCurves.has(a) || a.localeCompare(b));
fill(byId("curve-method"), curveMethods.map((name) => [name, name]));
byId("curve-method").addEventListener("change", showCurves);
filterListeners.push(showCurves);
showCurves();
