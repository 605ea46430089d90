// What takes its time: after a moment a calm placeholder stands where the answer will stand, and nothing moves when it
// comes or goes. Whatever ends the wait takes it away: the answer, a failure, Escape, another link.

/** What comes sooner shows no placeholder, milliseconds. */
const PATIENCE = 150;
/** What is asked for, and how its placeholder ends. */
const waits = new Map();
/** The page that is asked for. */
let turning;

/** Says something to those who do not see it. */
export function say(text) {
  let place = document.querySelector("#said");
  if (!place) {
    place = Object.assign(document.createElement("div"), { id: "said", className: "hide" });
    place.setAttribute("aria-live", "polite");
  }
  (document.querySelector("dialog[open]") ?? document.body).append(place);
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

const made = (id) => document.getElementById(id)?.content.firstElementChild.cloneNode(true);
/** A noun and one of its objects: `/workspaces/engineering`. */
const object = (path) => path.split("/", 3).join("/");

/** Marks a place as busy; gives what undoes it. */
function busy(place) {
  place.setAttribute("aria-busy", "true");
  return () => place.removeAttribute("aria-busy");
}

/** Over the page that goes. While only the tab changes, the head and the tabs stay. */
function cover(path) {
  const main = document.getElementById("main");
  const ghost = made("ghost");
  if (!main || !ghost) return undefined;
  const tabs = object(path) === object(location.pathname) ? main.querySelector(":scope > .tabs") : null;
  if (tabs) {
    ghost.classList.add("below");
    ghost.style.top = `${tabs.offsetTop + tabs.offsetHeight}px`;
  }
  const focused = document.activeElement;
  const covered = [...main.children].filter((child) => !tabs || tabs.compareDocumentPosition(child) & Node.DOCUMENT_POSITION_FOLLOWING);
  covered.forEach((child) => (child.inert = true));
  main.append(ghost);
  say("Loading");
  const ready = busy(main);
  return () => {
    ghost.remove();
    covered.forEach((child) => (child.inert = false));
    ready();
    if (document.activeElement === document.body) focused?.focus({ preventScroll: true });
  };
}

/** In the place of what was answered before. */
function stand(place) {
  const card = made("ghost")?.querySelector(".card");
  if (!card) return undefined;
  card.classList.add("ghost");
  const before = [...place.children].filter((child) => !child.hidden);
  before.forEach((child) => (child.hidden = true));
  place.append(card);
  say("Waiting for the answer");
  const ready = busy(place);
  return () => {
    card.remove();
    before.forEach((child) => (child.hidden = false));
    ready();
  };
}

function placeholder({ sourceElement, target, request }) {
  if (target === document.body) {
    const place = document.getElementById(sourceElement.dataset.waits);
    if (place) return stand(place);
    return request.method === "GET" ? cover(new URL(request.action, location.href).pathname) : undefined;
  }
  // A list that is being filtered; what is asked for by a clock changes nothing until it is there.
  return sourceElement.matches("input") ? busy(target) : undefined;
}

document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
  if (ctx.target === document.body) {
    // The page that was asked for last is the one that is shown.
    if (turning?.request.method === "GET") turning.request.abort();
    turning = ctx;
  }
  const wait = { end: undefined };
  wait.timer = setTimeout(() => (wait.end = placeholder(ctx)), PATIENCE);
  waits.set(ctx, wait);
});

document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (turning === ctx) turning = undefined;
  const wait = waits.get(ctx);
  clearTimeout(wait?.timer);
  wait?.end?.();
  waits.delete(ctx);
});

// No answer at all: the page stays as it was, and says so.
document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
  if (ctx?.target !== document.body) return;
  const toast = made("unanswered");
  if (toast) document.getElementById("toasts")?.replaceChildren(toast);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && turning && waits.get(turning)?.end && !document.querySelector("dialog[open]")) turning.request.abort();
});
