// Incidents: what fires, what happened around it, and what people say to that.
"use strict";

const PAUSE = 10000;
const LONG = [["1h", "an hour"], ["8h", "8 hours"], ["1d", "a day"], ["7d", "a week"]];
let timer = 0;

const link = (text, hash, className = "") => element("a", { textContent: text, href: `#${hash}`, className });
const cell = (...content) => element("td", {}, ...content);
const when = (moment) => element("td", { className: "when", textContent: minute(moment) });
const badge = (severity) => element("span", { className: `severity ${severity}`, textContent: severity });
const plain = (text) => element("p", { className: "empty", textContent: text });

function lasted(from, to) {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 2 * 86400 ? `${(seconds / 3600).toFixed(0)} hours` : `${(seconds / 86400).toFixed(0)} days`;
}

function card(title, ...children) {
  return element("div", { className: "card" }, element("h2", { textContent: title }), ...children);
}

// All incidents

async function list() {
  const [incidents, silences, status] = await Promise.all([operation("incidents"), operation("silences"), operation("status")]);
  const open = incidents.filter((i) => i.status === "firing");
  const sorted = [...open, ...incidents.filter((i) => i.status !== "firing")];
  const rows = sorted.map((i) => row([
    cell(link(String(i.number), i.number, `dot ${i.status} ${i.severity}`)), cell(badge(i.severity)),
    cell(worded("span", i.title)), i.subject.split(":")[1], when(i.opened),
    element("td", { className: "when", textContent: i.resolved ? lasted(i.opened, i.resolved) : "goes on" }), String(i.alerts.length),
  ]));
  const table = element("table", {}, heads(["", "", "what", "where", "since", "lasted", "alerts"]), ...rows);
  const none = plain("Nothing has gone wrong so far. `tidemill alerts test` shows whether messages would arrive.");
  place("content").replaceChildren(element("div", { className: "bartop" }, element("h2", { textContent: "Incidents" }),
    element("span", { textContent: `${open.length} open, ${incidents.length} in all` })),
    ...undelivered(status.deliveries), rows.length ? element("div", { className: "scroll" }, table) : none, ...silenced(silences));
  say(open.length ? `${open.length} open` : "nothing fires", !open.length);
}

function undelivered(counts) {
  const many = counts.dead || 0;
  if (!many) return [];
  const said = `${many} ${many === 1 ? "message" : "messages"} could not be delivered: see tidemill alerts deliveries --dead`;
  return [element("p", { className: "note", textContent: said })];
}

function silenced(silences) {
  if (!silences.length) return [];
  const rows = silences.map((s) => {
    const of = ["alert", "kind", "rule", "endpoint", "model", "severity"].filter((k) => s[k] !== null).map((k) => `${k} ${s[k]}`);
    const end = element("button", { textContent: "End it", className: "ends" });
    end.onclick = () => act(end, "unsilence", { number: s.number });
    return row([of.join(", "), when(s.until), s.reason, s.by, cell(end)]);
  });
  return [card("Silences", element("table", {}, heads(["of", "until", "reason", "by", ""]), ...rows))];
}

// One incident

async function incident(number) {
  const account = await operation("incident", { number });
  const { incident: one } = account;
  const state = one.resolved ? `over after ${lasted(one.opened, one.resolved)}` : `goes on since ${minute(one.opened)}`;
  const top = element("div", { className: "bartop" }, element("h2", { textContent: `Incident ${one.number}` }), badge(one.severity),
    element("span", { textContent: `${one.subject.replace(":", " ")} · ${state}` }));
  const moments = element("ol", { className: "line full" }, ...account.moments.map((m, i) => entry(account, m, i)));
  const choose = (at) => mark(moments.children[at]);
  const drawings = element("div");
  place("content").replaceChildren(top, worded("p", one.title, { className: "words" }), alerts(account), drawings, card("One after the other", moments));
  const draw = () => {
    const width = Math.max(drawings.clientWidth - 38, 560);
    drawings.replaceChildren(card("What happened", pictured(account, width, choose)), ...account.plots.map((p) => drawing(account, p, width)));
  };
  draw();
  window.onresize = draw;
  say(state, Boolean(one.resolved));
}

function drawing(account, plot, width) {
  const key = element("p", { className: "key" });
  key.append(element("i"), "by window");
  if (plot.points.some((p) => typeof p.low === "number")) key.append(", with its 95% interval");
  if (plot.points.some((p) => typeof p.expected === "number")) key.append(element("i", { className: "dash" }), "expected without labels");
  if (plot.note) key.append(element("i", { className: "limit" }), plot.note);
  return card(plot.figure, plotted(account, plot, width), key);
}

function alerts(account) {
  const rows = account.alerts.map((a) => row([
    cell(element("span", { className: `dot ${a.status} ${a.severity}`, textContent: String(a.number) })), cell(badge(a.severity)),
    a.rule, cell(worded("span", a.message)), when(a.fired), when(a.resolved), cell(acts(account, a)),
  ]));
  return card("Alerts", element("div", { className: "scroll" },
    element("table", {}, heads(["", "", "rule", "what", "fired", "over", ""]), ...rows)));
}

function acts(account, alert) {
  const box = element("div", { className: "acts" });
  const quiet = account.silences.find((s) => s.alert === null || s.alert === alert.number);
  if (alert.status !== "firing") return box;
  if (alert.acknowledged) box.append(element("span", { className: "empty", textContent: `taken by ${alert.acknowledged.by}` }));
  else {
    const ack = element("button", { textContent: "Acknowledge" });
    ack.onclick = () => act(ack, "acknowledge", { number: alert.number });
    box.append(ack);
  }
  if (quiet) {
    const end = element("button", { textContent: `Silenced until ${minute(quiet.until)}: end it`, className: "plain" });
    end.onclick = () => act(end, "unsilence", { number: quiet.number });
    box.append(end);
  } else {
    const silence = element("button", { textContent: "Silence", className: "plain" });
    silence.onclick = () => silence.replaceWith(form(alert));
    box.append(silence);
  }
  return box;
}

function form(alert) {
  const lasting = element("select", { ariaLabel: "For how long" }, ...LONG.map(([value, text]) => element("option", { value, textContent: text })));
  const reason = element("input", { placeholder: "Why nobody needs to be told", required: true, ariaLabel: "Reason" });
  const send = element("button", { textContent: "Silence" });
  const made = element("form", {}, lasting, reason, send);
  made.onsubmit = (submitted) => {
    submitted.preventDefault();
    act(send, "silence", { alert: alert.number, lasting: lasting.value, reason: reason.value });
  };
  return made;
}

function entry(account, moment, at) {
  const made = element("li", { className: moment.tone, tabIndex: -1 });
  made.append(element("time", { textContent: `${at + 1} · ${minute(moment.time)}` }), element("span", { className: "kind", textContent: moment.title }));
  const cause = account.moments.findIndex((m) => m.fact === moment.cause);
  if (cause >= 0) {
    const because = element("a", { className: "because", href: location.hash, textContent: `because of ${cause + 1}` });
    because.onclick = (clicked) => { clicked.preventDefault(); mark(made.parentNode.children[cause]); };
    made.append(because);
  }
  if (moment.text) made.append(worded("p", moment.text));
  return made;
}

function mark(item) {
  for (const other of item.parentNode.children) other.classList.remove("marked");
  item.classList.add("marked");
  item.scrollIntoView({ block: "center", behavior: "smooth" });
}

// What people say

async function act(button, name, values) {
  button.disabled = true;
  try {
    await change(name, values);
    await show();
  } catch (error) {
    place("trouble").textContent = error.message;
    button.disabled = false;
  }
}

async function show() {
  clearTimeout(timer);
  window.onresize = null;
  const number = location.hash.slice(1);
  await attempt(() => (number ? incident(number) : list()));
  timer = setTimeout(renew, PAUSE);
}

// Nothing is renewed under the hands of somebody who writes.
function renew() {
  if (place("content").querySelector("form") || document.hidden) timer = setTimeout(renew, PAUSE);
  else show();
}

window.onhashchange = show;
show();
