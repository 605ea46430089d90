// Tables: sorted by a click on a head, gone through by keys, and with a head that stays in sight. A table whose order the
// server decides (pages of calls, of audit) has no rows to sort here: there are more behind them.

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

const UNITS = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, ms: 1e3, s: 1e6 };

/** What a cell is sorted by: a moment, a figure with its unit, or its words. */
function key(row, at) {
  const cell = row.cells[at];
  const moment = cell.querySelector("time")?.dateTime;
  if (moment) return Date.parse(moment);
  const text = cell.querySelector("select")?.value ?? (cell.querySelector(".name") ?? cell).innerText.trim();
  const [, figure, unit] = text.match(/^([\d.,]+)\s*(\S*)/) ?? [];
  if (figure && !Number.isNaN(Number(figure.replaceAll(",", "")))) return Number(figure.replaceAll(",", "")) * (UNITS[unit] ?? 1);
  return text === "–" || text === "never" || text === "none" ? null : text.toLowerCase();
}

function compare(a, b) {
  if (a === b) return 0;
  // What is not there is last, whichever way.
  if (a === null || b === null) return a === null ? 1 : -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

function sort(head) {
  const table = head.closest("table");
  const rows = $$(":scope > tbody > tr", table).filter((row) => row.cells.length === table.tHead.rows[0].cells.length);
  const keyed = rows.map((row) => ({ row, by: key(row, head.cellIndex) }));
  const figures = keyed.some(({ by }) => typeof by === "number");
  const now = head.getAttribute("aria-sort");
  const down = now ? now === "ascending" : figures;
  keyed.sort((a, b) => (a.by === null || b.by === null ? compare(a.by, b.by) : compare(a.by, b.by) * (down ? -1 : 1)));
  table.tBodies[0].append(...keyed.map(({ row }) => row));
  $$("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

/** Heads become buttons where all rows are there. */
function makeSortable(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  const inParts = table.closest(".card")?.querySelector(".more") || table.tFoot?.querySelector("th a") || heads.some((head) => head.querySelector("a"));
  if (inParts || table.closest("[hx-trigger]") || table.tBodies[0].rows.length < 2) return;
  for (const head of heads.filter((head) => head.innerText.trim() && !head.querySelector(".hide, button"))) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "sort" });
    button.append(...head.childNodes);
    head.append(button);
  }
}
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button.sort");
  if (button) sort(button.closest("th"));
});

/** Where a table is no wider than its place, its head can stay at the top of the window. */
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const fits = target.scrollWidth <= target.clientWidth;
    target.classList.toggle("fits", fits);
    // Only what can be scrolled has to be reached by Tab.
    if (fits) target.removeAttribute("tabindex");
    else target.tabIndex = 0;
  }
});

/** Where rows are cards, their heads are for those who listen only: nothing in them is reached by Tab. */
const wide = matchMedia("(min-width: 761px)");
const reach = () => $$("main table.fold > thead :is(a, button)").forEach((one) => (one.tabIndex = wide.matches ? 0 : -1));
wide.addEventListener("change", reach);

/** Where a row leads. */
const lead = (row) => row.querySelector("a.name, .first a") ?? row.querySelector("a[href], button:not(:disabled), select") ?? row;

/** To the next row, or the one before; gives whether there is one. */
export function step(by) {
  const rows = $$("main .rows:not(details:not([open]) *) > table > tbody > tr").filter((row) => row.offsetParent && !row.hidden);
  const now = rows.indexOf(document.activeElement?.closest?.("tr"));
  const row = rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : now + by];
  if (!row) return false;
  const to = lead(row);
  if (to === row) row.tabIndex = -1;
  to.focus();
  row.scrollIntoView({ block: "nearest" });
  return true;
}

export function start() {
  for (const rows of $$("main .rows:not([data-known])")) {
    rows.dataset.known = "";
    if (!rows.closest("details, .prose")) widths.observe(rows);
    $$(":scope > table.fold:not(.live)", rows).forEach(makeSortable);
  }
  reach();
}
