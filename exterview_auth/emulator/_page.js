"use strict";
const $ = (id) => document.getElementById(id);
const MOST = 500; // rows, and entries that wait for the next frame
const GROUPS = 1000, MARKS = 25; // of a storm, the most groups of one kind, and of controls, whose marks hide what is behind them
const shown = [], fresh = []; // entries in the journal, and those that came since the last frame
let source = null, retry = 0, run = "", last = "", heard = 0, state = null, storm = null, control = null;
let paused = false, missed = 0, painting = 0, stormChanged = false;

function make(tag, text, name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  return element;
}
function put(id, text, wrong = false) {
  if ($(id).textContent !== text) $(id).textContent = text; // a live region speaks at each change
  $(id).classList.toggle("wrong", wrong);
}
const number = (value) => value.toLocaleString("en");
const span = (value) => (value < 1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms` : `${value < 10 ? value.toFixed(2) : number(Math.round(value))} s`);
const life = (value) => (value < 120 ? `${Math.ceil(value)} s left` : `${number(Math.ceil(value / 60))} min left`);
const clock = (time) => new Date(time).toTimeString().slice(0, 8);
const isBad = (entry) => !entry.control && (entry.status === null || entry.status >= 400 || entry.reason !== null);

// However many entries come, the page is drawn once a frame.
function paint() { painting ||= requestAnimationFrame(draw); }
function draw() { painting = 0; drawState(); drawJournal(); if (stormChanged) drawStorm(); }

function take(entry) {
  entry.text = [entry.operation, entry.method, entry.path, entry.status ?? "gone", entry.fingerprint, entry.reason, entry.control].join(" ").toLowerCase();
  fresh.push(entry);
  if (fresh.length > MOST) fresh.shift();
  watch(entry);
  paint();
}

function row(entry) {
  const line = document.createElement("tr"), time = line.insertCell(), what = line.insertCell();
  time.className = "time";
  time.append(clock(entry.time), make("i", entry.time.slice(19, 23)));
  what.textContent = entry.control ? `Control: ${entry.control}` : entry.operation ?? entry.path;
  const details = entry.control ? Object.entries(entry.arguments).map(([name, value]) => `${name} ${value}`)
    : [entry.login ? "login" : `${entry.method} ${entry.path}`, span(entry.seconds), entry.reason];
  what.append(make("small", details.filter(Boolean).join(" · ")));
  if (entry.control) { line.className = "control"; what.colSpan = 3; return line; }
  for (const [text, name] of [[entry.status ?? "gone", `status ${isBad(entry) ? "bad" : "good"}`], [entry.fingerprint ?? "–", "token"]]) {
    line.append(make("td", text, name));
  }
  return line;
}
function drawJournal(everything = false) {
  put("pause", paused ? `Resume (${fresh.length}${fresh.length < MOST ? "" : "+"} new)` : "Pause");
  put("gap", missed ? `${number(missed)} requests came faster than they are kept; the numbers above count them.` : "");
  const news = paused ? [] : fresh.splice(0), rows = $("rows"), words = $("filter").value.toLowerCase().split(/\s+/);
  shown.push(...news);
  shown.splice(0, shown.length - MOST);
  const isWanted = { "": () => true, refused: isBad, login: (entry) => entry.login, control: (entry) => entry.control }[$("kind").value];
  const found = (everything ? shown : news).filter((entry) => isWanted(entry) && words.every((word) => entry.text.includes(word)));
  if (everything) rows.replaceChildren();
  rows.prepend(...found.reverse().map(row));
  while (rows.rows.length > MOST) rows.deleteRow(-1);
  put("blank", rows.rows.length ? "" : shown.length ? "Nothing matches." : "Nothing has been asked yet.");
}

function drawState() {
  if (!state) return;
  const { stats, times, faults, tokens, logins } = state, statuses = Object.entries(stats.statuses);
  const sum = (...from) => number(statuses.reduce((all, [status, one]) => all + (from.some(([low, high]) => low <= status && status < high) ? one : 0), 0));
  put("running", number(stats.requests_running));
  put("answered", sum([100, 400]));
  put("refused", sum([401, 402], [403, 404]));
  put("failed", sum([400, 401], [402, 403], [404, 600]));
  for (const id of ["refused", "failed"]) $(id).classList.toggle("none", $(id).textContent === "0");
  put("logins", number(stats.logins));
  put("peak", number(stats.logins_running_peak));
  put("statuses", statuses.length ? `By status: ${statuses.map(([status, one]) => `${status}: ${number(one)}`).join(", ")}. Open WebSockets: ${stats.websockets_open}.` : "");
  put("now", [`API key ${state.api_key}`, `latency ${times.latency} s`, `login delay ${times.login_delay} s`, `token lifetime ${times.token_lifetime} s`,
    faults.fail_logins && `the next ${faults.fail_logins} logins fail`, faults.refuse && `the next ${faults.refuse} requests are refused`,
    faults.silence && `logins are silent for ${Math.ceil(faults.silence)} s`].filter(Boolean).join(", "));
  const bar = (value, most) => Object.assign(document.createElement("progress"), { max: most || 1, value, ariaHidden: "true" });
  const item = (...parts) => { const one = document.createElement("li"); one.append(...parts); return one; };
  const none = (text) => make("li", text, "soft");
  $("flights").replaceChildren(...(logins.length ? logins.map((age, at) => item(`login ${at + 1}`, bar(age, Math.max(...logins, 1)), span(age))) : [none("none")]));
  $("list").replaceChildren(...(tokens.length ? tokens.map((one) => item(make("code", one.fingerprint),
    bar(one.state === "valid" ? one.remaining : 0, one.lifetime), one.state === "valid" ? life(one.remaining) : one.state)) : [none("none issued yet")]));
  put("more", state.tokens_known > tokens.length ? `and ${number(state.tokens_known - tokens.length)} older ones` : "");
}

// A program that never gets well makes one storm of a day. When its groups are too many, each covers twice the time.
const total = (groups) => groups.reduce((sum, one) => sum + one.count, 0);
function keep(groups, from, to = from, count = 1) {
  const near = groups.at(-1);
  if (near && to - near.from < (groups.width ??= 0)) Object.assign(near, { from: Math.min(near.from, from), to: Math.max(near.to, to), count: near.count + count });
  else groups.push({ from, to, count });
  if (groups.length <= (groups.most ?? GROUPS)) return;
  groups.width = groups.width * 2 || 0.001;
  for (const one of groups.splice(0)) keep(groups, one.from, one.to, one.count);
}
// A storm begins with a refused token. It is over two seconds after its last refusal, once as many requests were answered as refused.
function isOver(at) { return !storm || (storm.owed <= 0 && at - storm.refusedAt > 2) || at - storm.to > 30; }
function watch(entry) {
  const to = Date.parse(entry.time) / 1000, from = to - (entry.seconds ?? 0), isRefused = entry.status === 401 && !entry.login;
  if (entry.control) control = to;
  if (isRefused && isOver(to)) {
    storm = { from, to, longest: 0, owed: 0, refused: [], answered: [], logins: [], marks: Object.assign([], { most: MARKS }) };
    if (control && from - control < 5) { keep(storm.marks, control); storm.from = Math.min(from, control); }
  }
  if (isOver(to)) return;
  storm.to = to;
  stormChanged = true;
  const begun = Math.max(from, storm.from);
  if (entry.control) keep(storm.marks, to);
  else if (entry.login) { keep(storm.logins, begun, to); storm.longest = Math.max(storm.longest, to - begun); }
  else if (isRefused) { keep(storm.refused, to); storm.refusedAt = to; storm.owed = Math.max(storm.owed, 0) + 1; }
  else if (entry.status && entry.status < 400) { keep(storm.answered, to); storm.owed -= 1; }
}
function drawStorm() {
  const { from, to, refused, answered, logins, marks } = storm ?? { from: 0, to: 0, refused: [], answered: [], logins: [], marks: [] };
  const long = Math.max(to - from, 0.001), x = (at) => Math.round(((at - from) / long) * 1000);
  const counted = (groups) => groups.reduce((bins, one) => { bins[Math.min(99, Math.floor(x(one.from) / 10))] += one.count; return bins; }, new Array(100).fill(0));
  const up = counted(answered), down = counted(refused), most = Math.max(1, ...up, ...down);
  const columns = (bins, way) => bins.map((one, at) => (one ? `M${at * 10} 70v${(way * Math.max(2, (one / most) * 60)).toFixed(1)}h9V70z` : "")).join("");
  $("up").setAttribute("d", columns(up, -1));
  $("down").setAttribute("d", columns(down, 1));
  $("bars").setAttribute("d", logins.map((one) => `M${x(one.from)} 136h${Math.max(4, x(one.to) - x(one.from))}v12H${x(one.from)}z`).join(""));
  $("marks").setAttribute("d", marks.map((one) => `M${x(one.from)} 0h3v150h-3z`).join(""));
  const many = (groups, one, more) => `${number(total(groups))} ${total(groups) === 1 ? one : more}`;
  put("end", storm ? span(long) : "");
  put("caption", storm ? `At ${clock(from * 1000)}: ${many(refused, "request", "requests")} refused, the last after ${span(storm.refusedAt - from)}; `
    + `${many(logins, "login", "logins")}${logins.length ? ` of at most ${span(storm.longest)}` : ""}; `
    + `${number(total(answered))} answered${answered.length ? `, the last after ${span(answered.at(-1).to - from)}` : ""}.`
    : "No storm yet: it begins with a refused token. Revoke them while your program sends requests.");
  stormChanged = false;
}

function forget(next) {
  if (next.run !== run) {
    run = next.run;
    missed = 0;
    shown.length = fresh.length = 0;
    storm = control = null;
    stormChanged = true;
    drawJournal(true);
  }
  missed += next.missed;
  paint();
}
function connect() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource(`/events?after=${last}`);
  const on = (kind, handle) => source.addEventListener(kind, (event) => {
    heard = performance.now();
    last = event.lastEventId || last;
    $("live").className = "live";
    put("live", "live");
    handle(JSON.parse(event.data));
  });
  on("journal", forget);
  on("request", take);
  on("control", take);
  on("state", (next) => { state = next; paint(); });
  source.onerror = () => {
    $("live").className = "live gone";
    put("live", "stopped, or out of reach; trying again");
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(connect, 2000);
  };
}
// A browser has six connections for one origin, so a page that nobody sees gives its own back.
function leave() { clearTimeout(retry); source?.close(); source = null; }
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : connect()));
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => event.persisted && connect());
setInterval(() => {
  const old = Math.round((performance.now() - heard) / 1000);
  if (source?.readyState === EventSource.OPEN && old > 3) { $("live").className = "live gone"; put("live", `no news for ${old} s`); }
}, 1000);

function parsed(text, name) {
  try { return JSON.parse(text); } catch { throw new Error(`the ${name} must be JSON, such as {"jobs": []}`); }
}
async function post(path, body) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
for (const form of document.querySelectorAll("form[data-control]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const what = form.querySelector("button").textContent, given = {};
    try {
      for (const one of form.querySelectorAll("input")) {
        if (one.value !== "") given[one.name] = one.type === "number" ? one.valueAsNumber : "json" in one.dataset ? parsed(one.value, one.name) : one.value;
      }
      await post(`/controls/${form.dataset.control}`, given);
      put("said", `${what}: done at ${clock(Date.now())}.`);
    } catch (error) { put("said", `${what}: ${error.message}`, true); }
  });
}
$("console").addEventListener("submit", async (event) => {
  event.preventDefault();
  put("outcome", "sent");
  try {
    const got = await post("/query", { query: $("text").value, variables: parsed($("variables").value || "{}", "variables") });
    put("outcome", `Status ${got.status} after ${span(got.seconds)}`, got.status >= 400);
    $("result").textContent = JSON.stringify(got.answer, null, 2).slice(0, 50_000);
  } catch (error) {
    put("outcome", error.message, true);
    $("result").textContent = "";
  }
  $("result").hidden = !$("result").textContent;
});
$("console").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit(); });
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("input", () => drawJournal(true));
$("pause").addEventListener("click", () => { paused = !paused; $("pause").setAttribute("aria-pressed", paused); drawJournal(); });
connect();
