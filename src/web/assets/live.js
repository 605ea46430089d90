// Calls as they end: rows from the stream of events, newest first. Everything that came over the wire is text here.

const MOST = 200;
let source;
let root;
let paused = false;
let held = [];
let times = [];

const element = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text ?? "" });
const hides = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
const shown = (text) => String(text).replace(hides, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
const ms = (us) => (us < 10_000 ? `${(us / 1000).toFixed(1)} ms` : us < 1e6 ? `${Math.round(us / 1000)} ms` : `${(us / 1e6).toFixed(1)} s`);

function toolName(name) {
  const code = element("code", "any");
  const at = name.indexOf("__");
  if (at > 0) code.append(element("span", "dim", shown(name.slice(0, at + 2))), shown(name.slice(at + 2)));
  else code.textContent = shown(name);
  return code;
}

function state(call) {
  if (call.outcome === "ok") return element("span", "state run", "ok");
  if (call.outcome === "tool_error") return element("span", "state wait", "tool error");
  return element("span", "state fail", call.error_code ? `error ${call.error_code}` : "error");
}

function row(call) {
  const line = element("tr", `live-row fresh${call.outcome === "ok" ? "" : call.outcome === "tool_error" ? " warned" : " failed"}`);
  const at = new Date(call.at).toISOString();
  const time = element("td", "mono");
  const open = element("button", "plain-button");
  open.type = "button";
  open.append(element("span", "dim", at.slice(11, 17)), at.slice(17, 23));
  open.setAttribute("aria-label", `Call of ${shown(call.user)} at ${at.slice(11, 19)}`);
  time.append(open);
  const who = element("td", "first", shown(call.user));
  const tool = element("td", "wide");
  tool.append(toolName(call.tool));
  const status = element("td", "");
  status.append(state(call));
  const bar = element("td", "skip-narrow");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "share");
  svg.setAttribute("viewBox", "0 0 60 6");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("height", "6");
  rect.setAttribute("width", String(Math.min(60, Math.max(2, (Math.log10(Math.max(call.latency_us, 1000) / 1000) / 4.5) * 60))));
  svg.append(rect);
  bar.append(svg);
  line.append(time, who, tool, element("td", "soft skip-narrow any", shown(call.client)), status, element("td", "num", ms(call.latency_us)), bar);
  line.call = call;
  line.hidden = !fits(call);
  return line;
}

function fits(call) {
  const words = root.querySelector("[data-live-filter]")?.value.toLowerCase().split(/\s+/) ?? [];
  const text = `${call.user} ${call.tool} ${call.client} ${call.server} ${call.id}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function add(calls) {
  const body = root.querySelector("#calls");
  root.querySelector("#nothing").hidden = true;
  for (const call of calls) body.prepend(row(call));
  while (body.rows.length > MOST) body.deleteRow(-1);
}

function pace() {
  const now = Date.now();
  times = times.filter((at) => now - at < 10_000);
  const place = root.querySelector("#pace");
  if (place) place.textContent = times.length ? `${(times.length / 10).toFixed(1)} calls/s` : "";
}

function say(kind, word) {
  const place = root.querySelector("#stream");
  place.className = `state ${kind}`;
  place.textContent = word;
}

function pause(on) {
  paused = on;
  const button = root.querySelector("#pause");
  button.setAttribute("aria-pressed", String(on));
  button.querySelector("span").textContent = on ? "Go on" : "Pause";
  say(on ? "wait" : "run", on ? "paused" : "streaming");
  if (!on) add(held.splice(0));
}

function look(call) {
  const card = root.querySelector("#call");
  card.hidden = false;
  const put = (id, ...nodes) => root.querySelector(id).replaceChildren(...nodes);
  put("#call-tool", toolName(call.tool));
  put("#call-about", state(call), element("span", "soft", `${ms(call.latency_us)}, ${shown(call.user)}, ${shown(call.client)}`));
  const server = Math.min(100, (call.upstream_us / Math.max(call.latency_us, 1)) * 100);
  const [gateway, upstream] = card.querySelectorAll("rect");
  gateway.setAttribute("width", String(Math.max(1, 100 - server)));
  upstream.setAttribute("x", String(Math.max(1, 100 - server)));
  upstream.setAttribute("width", String(server));
  put("#call-split", element("i", "swatch k1"), `gateway ${ms(Math.max(0, call.latency_us - call.upstream_us))}`, element("i", "swatch k0"), `${shown(call.server)} ${ms(call.upstream_us)}`);
  card.querySelector("#call-copy").dataset.copyText = call.id;
  const tool = encodeURIComponent(call.tool);
  card.querySelector("#call-try")?.setAttribute("href", `/playground?workspace=${encodeURIComponent(call.workspace)}&tool=${tool}`);
  card.querySelector("#call-others").setAttribute("href", `/workspaces/${encodeURIComponent(call.workspace)}/calls?tool=${tool}`);
  const code = call.error_code;
  const error = code ? `${code}, ${call.error ?? "the server’s own"}` : call.outcome === "tool_error" ? "the tool said that it failed" : undefined;
  const pairs = { "Call id": call.id, ...(error && { Error: error }), Ended: `${new Date(call.at).toISOString().slice(0, 19).replace("T", " ")} UTC`, Server: call.server, Sizes: `${call.bytes_in} B in, ${call.bytes_out} B out`, Protocol: call.era };
  put("#call-pairs", ...Object.entries(pairs).flatMap(([name, value]) => [element("dt", "", name), element("dd", name === "Call id" ? "mono" : "", shown(value))]));
}

export function start(place) {
  source?.close();
  source = undefined;
  if (!place) return;
  root = document.querySelector("main");
  [paused, held, times] = [false, [], []];
  source = new EventSource(place.dataset.live);
  source.addEventListener("open", () => say("run", "streaming"));
  source.addEventListener("error", () => say("fail", source.readyState === EventSource.CLOSED ? "ended" : "connecting again"));
  source.addEventListener("call", (event) => {
    const call = JSON.parse(event.data);
    times.push(Date.now());
    if (paused) {
      held.push(call);
      held.splice(0, held.length - MOST);
      say("wait", `paused, ${held.length} waiting`);
    } else add([call]);
    pace();
  });
  source.addEventListener("missed", (event) => say("wait", `${JSON.parse(event.data).missed} left out: too many to show`));
  root.querySelector("#pause").addEventListener("click", () => pause(!paused));
  root.querySelector("[data-live-filter]").addEventListener("input", () => root.querySelectorAll("#calls tr").forEach((line) => (line.hidden = !fits(line.call))));
  root.querySelector("#calls").addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (!line) return;
    root.querySelector("#calls .on")?.classList.remove("on");
    line.classList.add("on");
    look(line.call);
  });
  root.querySelector("[data-live-close]").addEventListener("click", () => (root.querySelector("#call").hidden = true));
}

setInterval(() => root?.isConnected && source && pace(), 1000);
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || !source || event.target.closest("input, select, button, a, textarea, dialog")) return;
  event.preventDefault();
  pause(!paused);
});
