// What the pages do in the browser besides being pages. Everything works on what the server has written: links and forms
// go to the same addresses without it. Listeners hang on the document, because htmx changes what is below it.

import { start as startTables, step } from "./tables.js";
import { say } from "./wait.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- theme
const THEMES = [undefined, "light", "dark"];
function nextTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  try {
    if (next) localStorage.setItem("aerostack-theme", next);
    else localStorage.removeItem("aerostack-theme");
  } catch { /* it holds for this page */ }
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  document.dispatchEvent(new CustomEvent("aerostack:theme"));
}

// ---- copying
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true, className: "hide" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function textToCopy(button) {
  if (button.dataset.copyText !== undefined) return button.dataset.copyText;
  const from = button.dataset.copy ? $(button.dataset.copy) : $("pre", button.closest(".code"));
  const shown = $$(".with, .without", from).length ? $$(".with, .without", from).find((part) => part.offsetParent) : from;
  return (shown ?? from).textContent;
}

async function onCopy(button) {
  const done = await copy(textToCopy(button));
  say(done ? "Copied" : "Copying was refused by the browser");
  if (!done || button.classList.contains("copied")) return;
  const label = $("span", button);
  const icon = $(".icon", button);
  const before = { label: label?.textContent, icon: icon?.innerHTML };
  const width = button.getBoundingClientRect().width;
  button.classList.add("copied");
  button.style.minWidth = `${width}px`;
  if (label) label.textContent = "Copied";
  if (icon) icon.innerHTML = '<path d="M20 6 9 17l-5-5"/>';
  setTimeout(() => {
    button.classList.remove("copied");
    button.style.minWidth = "";
    if (label) label.textContent = before.label;
    if (icon) icon.innerHTML = before.icon;
  }, 1600);
}

// ---- toasts: six seconds, paused while somebody points at them; what failed stays
function startToasts() {
  for (const toast of $$(".toast:not([data-running])")) {
    toast.dataset.running = "";
    if ("stays" in toast.dataset) continue;
    let timer;
    const begin = () => (timer = setTimeout(() => toast.remove(), 6000));
    toast.addEventListener("pointerenter", () => clearTimeout(timer));
    toast.addEventListener("pointerleave", begin);
    toast.addEventListener("focusin", () => clearTimeout(timer));
    begin();
  }
}

// ---- dialogs
function openDialogs() {
  for (const dialog of $$("dialog[data-open]")) {
    dialog.removeAttribute("open");
    delete dialog.dataset.open;
    show(dialog);
  }
}

function show(dialog) {
  if (!dialog || dialog.open) return;
  dialog.showModal();
  // What is shown once is left by its own button only.
  if ("keep" in dialog.dataset) {
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      askToKeep(dialog);
    });
    dialog.addEventListener("close", () => {
      if (!("done" in dialog.dataset)) {
        dialog.showModal();
        askToKeep(dialog);
      } else dialog.remove();
    });
  }
  $("[autofocus]", dialog)?.focus();
}

function askToKeep(dialog) {
  const ask = $("[data-ask]", dialog);
  if (!ask) return;
  ask.hidden = false;
  say(ask.textContent);
  $("[data-done]", dialog)?.focus();
}

// ---- sections that become tabs; without scripts they stand one below the other
const TABS = 7;
function buildTabs() {
  for (const panels of $$("[data-tabs]:not(.live)")) {
    const sections = $$(":scope > section", panels);
    if (sections.length < 2) continue;
    panels.classList.add("live");
    const list = Object.assign(document.createElement("div"), { className: "tabs" });
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", panels.dataset.tabs);
    const tabs = [];
    const more = document.createElement("select");
    const choose = (at, focus) => {
      order.forEach((section, i) => (section.hidden = i !== at));
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", String(i === at));
        tab.tabIndex = i === at || (at >= tabs.length && i === 0) ? 0 : -1;
      });
      if (at < tabs.length) more.value = "";
      if (focus) tabs[at]?.focus();
    };
    // The first few of different names are tabs; all others are behind one more.
    const named = sections.filter((section) => !$("h3", section).textContent.includes("(")).slice(0, TABS);
    const order = [...named, ...sections.filter((section) => !named.includes(section))];
    order.forEach((section, at) => {
      const title = $("h3", section).textContent;
      section.id ||= `panel-${Math.random().toString(36).slice(2, 9)}`;
      if (sections.length > TABS && at >= named.length) {
        more.append(new Option(title, String(at)));
        return;
      }
      const tab = Object.assign(document.createElement("button"), { type: "button", textContent: title, id: `${section.id}-tab` });
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", section.id);
      section.setAttribute("role", "tabpanel");
      section.setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", () => choose(at));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) choose((at + step + tabs.length) % tabs.length, true);
      });
      tabs.push(tab);
      list.append(tab);
    });
    const line = Object.assign(document.createElement("div"), { className: "tabrow" });
    line.append(list);
    panels.prepend(line);
    if (more.options.length) {
      more.prepend(new Option("More", "", true, true));
      more.setAttribute("aria-label", "More clients");
      more.addEventListener("change", () => more.value !== "" && choose(Number(more.value)));
      line.append(more);
    }
    choose(0);
  }
}

// ---- what is sent once is sent once
document.addEventListener("submit", (event) => {
  for (const button of $$("button", event.target)) {
    if (!button.type || button.type === "submit") setTimeout(() => (button.disabled = true));
  }
}, true);
document.addEventListener("htmx:finally:request", (event) => {
  for (const button of $$("button:disabled", event.target?.closest?.("form") ?? undefined)) button.disabled = false;
});

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest?.(selector);
  const opener = on("[data-dialog]");
  if (opener && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog) {
      event.preventDefault();
      event.stopPropagation();
      show(dialog);
    }
    return;
  }
  const copier = on("[data-copy], [data-copy-text]");
  if (copier) return void onCopy(copier);
  if (on("[data-theme-switch]")) return nextTheme();
  const twin = on("a.twin");
  if (twin) $(twin.getAttribute("href")).closest("details").open = true;
  if (on("[data-dismiss]")) return on(".toast")?.remove();
  const closer = on("[data-close]");
  if (closer) {
    const dialog = closer.closest("dialog");
    event.preventDefault();
    event.stopPropagation();
    if ("keep" in dialog.dataset) askToKeep(dialog);
    else dialog.close();
    return;
  }
  const done = on("[data-done]");
  if (done) {
    const dialog = done.closest("dialog");
    event.preventDefault();
    event.stopPropagation();
    dialog.dataset.done = "";
    dialog.close();
    return;
  }
  // The scrim.
  if (event.target.tagName === "DIALOG") {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (inside) return;
    if ("keep" in event.target.dataset) askToKeep(event.target);
    else event.target.close();
  }
}, true);

// ---- a choice that is made by choosing
document.addEventListener("change", (event) => {
  if ("submits" in (event.target.dataset ?? {})) event.target.form.requestSubmit($("button", event.target.form));
});

// ---- secrets: the value is covered while it is typed, its length is said
document.addEventListener("input", (event) => {
  const counter = event.target.dataset?.counts && document.getElementById(event.target.dataset.counts);
  if (counter) counter.textContent = event.target.value ? `${[...event.target.value].length} characters` : "";
});

// ---- palette and keys
const KEYS = { o: "/overview", w: "/workspaces", s: "/servers", h: "/hub", t: "/team", c: "/analytics", l: "/live", p: "/playground", a: "/audit", e: "/health" };
let went = 0;

function openPalette() {
  const palette = $("#palette");
  if (!palette || palette.open) return;
  palette.showModal();
  const query = $("input", palette);
  query.select();
  query.dispatchEvent(new Event("aerostack:open"));
}

function choose(step) {
  const hits = $$("#hits .hit");
  if (!hits.length) return;
  const now = hits.findIndex((hit) => hit.getAttribute("aria-selected") === "true");
  const next = hits[(now + step + hits.length) % hits.length];
  hits.forEach((hit, at) => {
    hit.id ||= `hit-${at}`;
    hit.setAttribute("aria-selected", String(hit === next));
  });
  $("#palette input").setAttribute("aria-activedescendant", next.id);
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return openPalette();
  }
  if (event.target.closest?.("#palette")) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      choose(step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      ($("#hits [aria-selected=true]") ?? $("#hits .hit"))?.click();
    }
    return;
  }
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (typing || event.metaKey || event.ctrlKey || event.altKey || $("dialog[open]")) return;
  if (event.key === "g") went = event.timeStamp;
  else if (event.timeStamp - went < 1000 && KEYS[event.key]) {
    went = 0;
    const link = $(`.rail a[href="${KEYS[event.key]}"]`);
    if (link) link.click();
    else location.assign(KEYS[event.key]);
  } else if (event.key === "/") {
    const filter = $("#filter") ?? $("main input[type=search]");
    if (filter) {
      event.preventDefault();
      filter.focus();
    }
  } else if (event.key === "?") show($("#keys"));
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (event.target.closest?.("tbody tr") && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    if (step(event.key === "ArrowDown" ? 1 : -1)) event.preventDefault();
  }
});
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("[data-palette]") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  openPalette();
}, true);

// ---- whoever wants no motion gets the next page at once, without a fade
const still = matchMedia("(prefers-reduced-motion: reduce)");
function fade() {
  if (window.htmx) window.htmx.config.transitions = !still.matches;
}
still.addEventListener("change", fade);
fade();

// ---- a new page begins at its top
let path = location.pathname;
document.addEventListener("htmx:after:history:update", () => {
  if (location.pathname !== path) scrollTo(0, 0);
  path = location.pathname;
});

// ---- charts come when a page has some
let charts;
function drawCharts() {
  if (!charts && !$("figure[data-chart]")) return;
  charts ??= import("./chart.js");
  charts.then(({ start }) => start());
}

// ---- where rows of tabs are wider than the window, the one that is on is in sight
function showTabs() {
  for (const tabs of $$(".tabs, .tray")) {
    const on = $("[aria-current]", tabs);
    if (!on || tabs.scrollWidth <= tabs.clientWidth || "wide" in tabs.dataset) continue;
    tabs.dataset.wide = "";
    const [all, one] = [tabs.getBoundingClientRect(), on.getBoundingClientRect()];
    tabs.scrollLeft += one.left - all.left - (all.width - one.width) / 2;
  }
}

// ---- calls as they end
let live;
function watchCalls() {
  const place = $("[data-live]");
  if (!place && !live) return;
  if (place && "watched" in place.dataset) return;
  if (place) place.dataset.watched = "";
  live ??= import("./live.js");
  live.then(({ start }) => start(place));
}

function ready() {
  const selected = $("#palette[open] #hits .hit");
  if (selected && !$("#hits [aria-selected=true]")) choose(1);
  buildTabs();
  openDialogs();
  startToasts();
  startTables();
  drawCharts();
  watchCalls();
  showTabs();
}
document.addEventListener("htmx:after:swap", ready);
document.addEventListener("htmx:after:settle", ready);
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
else ready();
