// What all pages share: the head with the way from page to page, asking the server, and drawing.
// A new page is one line in PAGES. Everything that comes from the server is set as text, never as
// markup.
"use strict";

const PAGES = [
  ["Overview", "/"],
  ["Endpoints", "/page/endpoint.html"],
  ["Models", "/page/models.html"],
  ["Runs", "/page/runs.html"],
  ["Data", "/page/data.html"],
  ["Incidents", "/page/incidents.html"],
  ["Health", "/page/health.html"],
];
const SVG = "http://www.w3.org/2000/svg";

const place = (id) => document.getElementById(id);

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) made[key] = value;
  made.append(...children);
  return made;
}

// The width in which a picture is drawn one to one: stretched, its words could not be read.
function roomIn(id, less) {
  return Math.max((place(id).clientWidth || 1000) - less, 280);
}

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Asking

async function operation(name, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  const answer = await fetch(`/api/${name}?${new URLSearchParams(given)}`, { cache: "no-store" });
  return told(answer);
}

async function change(name, values = {}) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
  return told(await fetch(`/api/${name}`, options));
}

async function told(answer) {
  const said = await answer.json();
  if (answer.ok) return said;
  const { message, expected, hint } = said.error;
  throw new Error([message, expected && `Expected ${expected}.`, hint].filter(Boolean).join(" "));
}

// Words

const day = (moment) => (moment ? moment.slice(0, 10) : "–");
const minute = (moment) => (moment ? moment.slice(0, 16).replace("T", " ") : "–");
const figure = (value) => (typeof value === "number" ? Number(value.toPrecision(5)).toString() : String(value ?? "–"));
const share = (value) => (typeof value === "number" ? `${(100 * value).toFixed(value && value < 0.1 ? 1 : 0)}%` : "–");
const bytes = (count) => {
  if (count < 1000) return `${count} B`;
  const power = Math.min(Math.floor(Math.log10(count) / 3), 4);
  return `${(count / 1000 ** power).toFixed(1)} ${"kMGT"[power - 1]}B`;
};

// Names in backticks are set as code; everything is text.
function worded(name, text, options = {}) {
  const parts = text.split("`").map((part, i) => (i % 2 ? element("code", { textContent: part }) : part));
  return element(name, options, ...parts);
}

function say(text, ok = true) {
  place("state").className = `state ${ok ? "ok" : "lost"}`;
  place("state").textContent = text;
}

// Do what draws the page; where that fails, say why in its place, and shortly in the head.
async function attempt(work, lost = "no answer") {
  try {
    await work();
    place("trouble").textContent = "";
  } catch (error) {
    place("trouble").textContent = error.message;
    say(lost, false);
  }
}

// Tables and lines

function row(cells, options = {}) {
  return element("tr", options, ...cells.map((cell) => (cell instanceof Node ? cell : element("td", { textContent: cell }))));
}

function heads(titles, options = () => ({})) {
  return element("tr", {}, ...titles.map((title, at) => element("th", { textContent: title, ...options(at) })));
}

function facts(title, entries) {
  const rows = Object.entries(entries).map(([key, value]) => row([key, value instanceof Node ? element("td", {}, value) : figure(value)]));
  const none = element("p", { className: "empty", textContent: "none" });
  return element("div", {}, element("h2", { textContent: title }), rows.length ? element("table", {}, ...rows) : none);
}

function tile(label, value, note) {
  const parts = [element("dt", { textContent: label }), element("dd", { textContent: value })];
  if (note) parts[1].append(element("small", { textContent: note }));
  return element("div", {}, ...parts);
}

// The head

function head() {
  const wheel = drawn("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" });
  wheel.append(drawn("circle", { cx: 16, cy: 16, r: 11 }), drawn("path", { d: "M16 5v22M5 16h22M8.2 8.2l15.6 15.6M23.8 8.2 8.2 23.8" }),
    drawn("path", { class: "wave", d: "M1 27q4-4 7.5 0t7.5 0 7.5 0 7.5 0" }));
  const name = element("h1", {}, element("a", { href: "/", textContent: "Tidemill" }));
  const ways = PAGES.map(([title, href]) => {
    const way = element("a", { href, textContent: title });
    if (location.pathname === href) way.setAttribute("aria-current", "page");
    return way;
  });
  const nav = element("nav", { ariaLabel: "Pages" }, ...ways);
  place("head").append(element("div", { className: "brand" }, wheel, name), nav,
    element("p", { id: "state", className: "state", textContent: "connecting…" }));
}

head();
