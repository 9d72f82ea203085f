// Sorting by header buttons, and the filters of all tables and trade-offs.

/** What a cell is sorted by: a number where it has one, else its text. */
function sortKey(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "" || cell.classList.contains("none")) return null;
  const number = Number(text);
  return Number.isNaN(number) ? text.toLowerCase() : number;
}

function compareKeys(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null); // what is not known stands last
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return descending ? -order : order;
}

function sortBy(header) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  const table = header.closest("table");
  for (const other of header.parentElement.cells) {
    if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  }
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  for (const body of table.tBodies) {
    if (body.classList.contains("fixed")) continue;
    const rows = [...body.rows].filter((row) => !row.classList.contains("nothing")).map((row) => [sortKey(row, header.cellIndex), row]);
    rows.sort(([a], [b]) => compareKeys(a, b, descending));
    body.append(...rows.map(([, row]) => row));
  }
}

for (const button of document.querySelectorAll("table.sortable .sort")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

const filters = ["budget", "seed", "needs", "method"];
const filterListeners = [];

/** Whether something of this budget, seed and data is asked for; what is one run's belongs to every seed's table. */
function wanted({ budget, seed, needs, method }, everySeed) {
  const asked = Object.fromEntries(filters.map((name) => [name, byId(name).value]));
  return (
    (asked.budget === "all" || asked.budget === String(budget)) &&
    (everySeed === "fixed" || asked.seed === String(seed) || (everySeed === "run" && asked.seed === "all")) &&
    (asked.needs === "all" || asked.needs === needs || (everySeed === "run" && asked.needs.split(" / ").includes(needs))) &&
    (asked.method === "all" || asked.method === method)
  );
}

function applyFilters() {
  for (const element of document.querySelectorAll("[data-needs]")) {
    const kind = "run" in element.dataset ? "run" : "anySeed" in element.dataset ? "fixed" : "";
    element.hidden = !wanted(element.dataset, kind);
  }
  for (const body of document.querySelectorAll("table.sortable tbody:not(.fixed)")) sayIfEmpty(body);
  byId("reset").hidden = filters.every((name) => byId(name).value === "all");
  const rows = [...document.querySelectorAll("#verdicts tbody:not(.fixed) tr[data-needs]")];
  const shown = rows.filter((row) => !row.hidden).length;
  byId("count").textContent = `${shown} ${shown === 1 ? "line" : "lines"}`;
  for (const listener of filterListeners) listener();
}

/** A table of which nothing is left says so. */
function sayIfEmpty(body) {
  body.querySelector(".nothing")?.remove();
  if ([...body.rows].some((row) => !row.hidden)) return;
  const columns = body.closest("table").tHead.rows[0].cells.length;
  body.append(make("tr", { class: "nothing" }, make("td", { colspan: columns }, "Nothing matches the filters.")));
}

for (const name of filters) byId(name).addEventListener("change", applyFilters);
byId("reset").addEventListener("click", () => {
  for (const name of filters) byId(name).value = "all";
  applyFilters();
  byId(filters[0]).focus(); // the button is gone
});
