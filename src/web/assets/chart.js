// Charts, drawn from a table: what is on the canvas is in the page for everybody. A figure says in `data-chart` what it
// is: `bars` (stacked), `lines` or `rate`, and in `data-table` where its numbers are; a head of that table says in
// `data-of` which chart its column is for. Steps without a call have no row.

import uPlot from "./uplot.js";

const drawn = new Map();

/** A colour of the style sheet as a canvas takes it. */
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** What a cell says: calls, microseconds, or a share of one. */
function amount(text) {
  const [, figure, unit] = text.match(/([\d.,]+)\s*(\S*)/) ?? [];
  return figure ? Number(figure.replaceAll(",", "")) * ({ ms: 1000, s: 1e6, "%": 0.01 }[unit] ?? 1) : null;
}

function read(figure) {
  const table = document.querySelector(`#${figure.dataset.table} table`);
  const { from, step, steps } = table.dataset;
  const heads = [...table.tHead.rows[0].cells].filter((head) => head.dataset.of === figure.dataset.chart);
  const known = new Map([...table.tBodies[0].rows].map((row) => [Date.parse(row.querySelector("time").dateTime) / 1000, row]));
  const times = Array.from({ length: Number(steps) }, (_, nth) => Number(from) + nth * Number(step));
  const rows = times.map((at) => known.get(at));
  const none = figure.dataset.chart === "bars" ? 0 : null;
  const columns = heads.map((head) => rows.map((row) => (row ? amount(row.cells[head.cellIndex].textContent) : none)));
  return { names: heads.map((head) => head.textContent.trim()), times, columns, rows, first: heads[0]?.cellIndex };
}

const SERIES = ["s1", "s2", "s3", "s4", "s5", "s6"];
const number = new Intl.NumberFormat("en");

function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${+(value / 1e3).toFixed(0)} k`;
  return number.format(value);
}

function milliseconds(us) {
  if (us === null) return "–";
  if (us < 10_000) return `${(us / 1000).toFixed(1)} ms`;
  return us < 1e6 ? `${Math.round(us / 1000)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

const DAY = 86_400;
function label(seconds, step) {
  const at = new Date(seconds * 1000);
  const options = step >= DAY / 2 ? { weekday: "short", day: "numeric", month: "short" } : { weekday: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false };
  return at.toLocaleString("en-GB", { ...options, timeZone: "UTC" });
}

/** The highest line of the scale and the step below it: round figures, four steps at most. */
function scale(most, kind) {
  const least = kind === "bars" ? 1 : kind === "rate" ? 0.01 : 1000;
  const rough = Math.max((most || 0) / 4, least / 4);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 2.5, 5, 10].map((of) => of * power).find((of) => of >= rough * 0.9999), kind === "bars" ? 1 : 0);
  return { top: step * Math.max(1, Math.ceil((most || least) / step - 0.0001)), step };
}

/** What stands beside the lines: the unit once, at the top. */
function scaleWords(kind, splits) {
  const top = splits.at(-1);
  if (kind === "bars") return splits.map(short);
  const [unit, of] = kind === "rate" ? ["%", 0.01] : top >= 1e6 ? ["s", 1e6] : ["ms", 1000];
  return splits.map((at) => `${+(at / of).toFixed(2)}${at === top ? ` ${unit}` : ""}`);
}

/** Room for the longest of these words. */
const room = (_, words) => Math.ceil(Math.max(0, ...(words ?? []).map((word) => word.length)) * 6.4) + 10;

function axes(kind) {
  const [ink, line, base] = [colour("ink-3"), colour("line"), colour("line-2")];
  const font = `500 11px ${getComputedStyle(document.body).fontFamily}`;
  return [
    { stroke: ink, font, grid: { show: false }, ticks: { stroke: base, width: 1, size: 5 }, size: 30, space: 84, values: (_, splits, __, ___, incr) => splits.map((at) => new Date(at * 1000).toLocaleString("en-GB", { timeZone: "UTC", hour12: false, ...(incr >= DAY ? { weekday: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" }) })) },
    { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: room, gap: 8, splits: (plot) => steps(plot.scales.y.max, scale(plot.scales.y.max, kind).step), values: (_, splits) => scaleWords(kind, splits) },
  ];
}

const steps = (top, step) => Array.from({ length: Math.round(top / step) + 1 }, (_, at) => at * step);

/** The line that everything stands on, over what stands on it. */
function ground(plot) {
  const y = Math.round(plot.valToPos(0, "y", true));
  plot.ctx.fillStyle = colour("line-2");
  plot.ctx.fillRect(plot.bbox.left, y - devicePixelRatio / 2, plot.bbox.width, devicePixelRatio);
}

function stacked({ columns }, hidden) {
  const sums = columns[0].map(() => 0);
  return columns.map((column, at) => (hidden.has(at) ? column.map(() => null) : column.map((value, row) => (sums[row] += value ?? 0))));
}

function draw(figure) {
  const data = read(figure);
  if (!data.times.length || !data.columns.length) return;
  const kind = figure.dataset.chart;
  const place = figure.querySelector(".plot");
  const before = drawn.get(figure);
  before?.plot.destroy();
  const hidden = before?.hidden ?? new Set();
  const step = data.times.length > 1 ? data.times[1] - data.times[0] : 3600;
  const value = kind === "lines" ? milliseconds : kind === "rate" ? (share) => `${+(share * 100).toFixed(1)} %` : short;
  const surface = colour("surface");
  let series;
  let columns;
  if (kind === "bars") {
    // The sum of all is drawn first, each smaller sum over it.
    const sums = stacked(data, hidden);
    const order = sums.map((_, at) => at).reverse();
    columns = order.map((at) => sums[at].map((sum) => sum || null));
    // Where a bar is a few pixels wide, nothing of it is left to a gap or to a frame.
    const thin = place.clientWidth / data.times.length < 10;
    const bars = uPlot.paths.bars({ size: [0.9, 100], gap: thin ? 0.5 : 1.6 });
    series = order.map((at) => ({ fill: colour(SERIES[Math.min(at, SERIES.length - 1)]), stroke: surface, width: thin ? 0 : 0.8, paths: bars, points: { show: false } }));
  } else {
    columns = data.columns;
    const looks = kind === "rate" ? [{ stroke: colour("bad") }] : [{ stroke: colour("s1") }, { stroke: colour("l2"), dash: [6, 3] }, { stroke: colour("s4"), dash: [2, 3] }];
    // A line joins two points; one without a neighbour would be nothing without a dot.
    const alone = columns.map((column) => column.flatMap((value, row) => (value !== null && (column[row - 1] ?? null) === null && (column[row + 1] ?? null) === null ? [row] : [])));
    series = columns.map((_, at) => {
      const look = looks[at % looks.length];
      return { width: 1.5, spanGaps: true, points: { show: false, size: 5, fill: look.stroke, filter: () => alone[at] }, ...look };
    });
  }
  const plot = new uPlot(
    {
      width: place.clientWidth,
      height: kind === "bars" ? 210 : 170,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { setScale: false } },
      scales: { x: { time: true, range: (_, from, to) => [from - (kind === "bars" ? step / 2 : 0), to + (kind === "bars" ? step / 2 : 0)] }, y: { range: (_, __, most) => [0, scale(most, kind).top] } },
      axes: axes(kind),
      series: [{}, ...series],
      hooks: { draw: [ground], setCursor: [(plot) => point(figure, plot, data, hidden, value, step)] },
    },
    [data.times, ...columns],
    place,
  );
  plot.root.setAttribute("aria-hidden", "true");
  // A click leads where the row of the table leads: to the calls of that time, or to those of them that failed.
  plot.over.addEventListener("click", () => {
    const row = data.rows[plot.cursor.idx];
    (row?.cells[data.first].querySelector("a") ?? row?.querySelector("a"))?.click();
  });
  drawn.set(figure, { plot, hidden });
}

/** What is under the pointer, beside it. */
function point(figure, plot, data, hidden, value, step) {
  let box = figure.querySelector(".tip");
  const at = plot.cursor.idx;
  if (at === null || at === undefined || plot.cursor.left < 0) return box?.remove();
  if (!box) {
    box = Object.assign(document.createElement("div"), { className: "tip" });
    box.setAttribute("aria-hidden", "true");
    figure.querySelector(".plot").append(box);
  }
  const lines = data.names.map((name, column) => ({ name, column, amount: data.columns[column][at] })).filter(({ column }) => !hidden.has(column));
  box.replaceChildren(Object.assign(document.createElement("p"), { textContent: label(data.times[at], step) }));
  for (const { name, column, amount } of lines) {
    const line = document.createElement("div");
    const mark = Object.assign(document.createElement("i"), { className: `k${Math.min(column, 5)}` });
    const word = Object.assign(document.createElement("span"), { textContent: name });
    const figureOf = Object.assign(document.createElement("b"), { textContent: amount === null ? "–" : value(amount) });
    line.append(mark, word, figureOf);
    box.append(line);
  }
  if (figure.dataset.chart === "bars" && lines.length > 1) {
    const total = document.createElement("div");
    total.className = "total";
    total.append(Object.assign(document.createElement("span"), { textContent: "Total" }), Object.assign(document.createElement("b"), { textContent: number.format(lines.reduce((sum, { amount }) => sum + (amount ?? 0), 0)) }));
    box.append(total);
  }
  const left = plot.cursor.left + plot.bbox.left / devicePixelRatio;
  const away = left > plot.width / 2 ? left - box.offsetWidth - 14 : left + 14;
  box.style.transform = `translate(${Math.max(0, away)}px, 8px)`;
}

/** A click on a name shows it alone; a second one all again. */
function onLegend(event) {
  const name = event.target.closest("[data-layer]");
  if (!name) return;
  const figure = name.closest("figure");
  const { hidden } = drawn.get(figure);
  const all = [...figure.querySelectorAll("[data-layer]")];
  const alone = hidden.size === all.length - 1 && !hidden.has(Number(name.dataset.layer));
  hidden.clear();
  if (!alone) all.forEach((other) => other !== name && hidden.add(Number(other.dataset.layer)));
  all.forEach((other) => other.setAttribute("aria-pressed", String(!alone && other === name)));
  draw(figure);
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const one = drawn.get(target.closest("figure"));
    if (one && target.clientWidth && one.plot.width !== target.clientWidth) one.plot.setSize({ width: target.clientWidth, height: one.plot.height });
  }
});

/** Draws the figures of the page as it is now: another may have come while this script did. */
export function start() {
  for (const [figure, { plot }] of drawn) {
    if (figure.isConnected) continue;
    plot.destroy();
    drawn.delete(figure);
  }
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    if (drawn.has(figure)) continue;
    draw(figure);
    figure.querySelector(".legend")?.addEventListener("click", onLegend);
    sizes.observe(figure.querySelector(".plot"));
  }
}

const again = () => [...drawn.keys()].filter((figure) => figure.isConnected).forEach(draw);
document.addEventListener("aerostack:theme", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
