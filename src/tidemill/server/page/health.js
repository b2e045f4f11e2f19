// Health: the machine, the processes and the endpoints, from an hour ago to a month.
"use strict";

const PAUSE = 10000;
const REACHES = [["1h", "an hour"], ["6h", "6 hours"], ["1d", "a day"], ["7d", "a week"], ["30d", "a month"]];
const FIRST = ["machine", "disk", "control plane", "workers"];
const WORDS = {
  cpu: "processor", memory: "memory", load: "waiting for a processor", free: "free", used: "in use", processes: "processes",
  requests: "requests", errors: "errors", refused: "refused for their values", "turned away": "turned away", rows: "rows",
  labels: "labels", waiting: "rows waiting", restarts: "restarts", lost: "log records lost",
  p50: "latency, median", p95: "latency, 95th percentile", p99: "latency, 99th percentile",
  "queue p50": "wait for a batch, median", "queue p95": "wait for a batch, 95th percentile", "queue p99": "wait for a batch, 99th percentile",
};
let timer = 0;

function seconds(value) {
  return value < 1 ? `${figure(Number((value * 1000).toPrecision(3)))} ms` : `${figure(Number(value.toPrecision(3)))} s`;
}

function shown(value, unit) {
  if (typeof value !== "number") return "–";
  if (unit === "share") return share(value);
  if (unit === "bytes") return bytes(value);
  if (unit === "seconds") return seconds(value);
  return figure(Number(value.toPrecision(3))) + (unit === "per second" ? "/s" : "");
}

function plot(series, from, until) {
  const known = series.points.filter(([, value]) => typeof value === "number");
  const latest = known.length ? known[known.length - 1][1] : null;
  const title = WORDS[series.figure] || series.figure;
  const caption = element("figcaption", {}, element("span", { textContent: title }), element("b", { textContent: shown(latest, series.unit) }));
  const picture = drawn("svg", { viewBox: "0 0 300 80", preserveAspectRatio: "none", role: "img", "aria-label": title });
  const top = Math.max(series.unit === "share" ? 1 : 0, ...known.map(([, value, high]) => high ?? value)) || 1;
  const x = (since) => (300 * (since - from)) / Math.max(until - from, 1);
  const y = (value) => 76 - (72 * value) / top;
  const line = (at) => {
    let path = "", down = false;
    for (const point of series.points) {
      const value = point[at] ?? point[1];
      if (typeof value !== "number") { down = false; continue; }
      path += `${down ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(value).toFixed(1)}`;
      down = true;
    }
    return path;
  };
  if (known.some(([, value, high]) => typeof high === "number" && high !== value)) picture.append(drawn("path", { class: "c1", d: line(2) }));
  picture.append(drawn("path", { class: "c0", d: line(1) }));
  caption.title = known.length ? `at most ${shown(Math.max(...known.map(([, v, h]) => h ?? v)), series.unit)}` : "";
  return element("figure", {}, caption, picture);
}

function order(left, right) {
  const rank = (subject) => (FIRST.includes(subject) ? FIRST.indexOf(subject) : subject.startsWith("endpoint ") ? 4 : 5);
  return rank(left) - rank(right) || left.localeCompare(right);
}

function chosen() {
  const asked = location.hash.slice(1);
  return REACHES.some(([reach]) => reach === asked) ? asked : "1h";
}

async function show() {
  const reach = chosen();
  const found = await operation("health", { since: reach });
  const from = Date.parse(found.since) / 1000, until = Date.parse(found.until) / 1000;
  const ways = REACHES.map(([value, words]) => {
    const way = element("a", { href: `#${value}`, textContent: words });
    if (value === reach) way.setAttribute("aria-current", "true");
    return way;
  });
  const parts = [element("div", { className: "bartop" }, element("h2", { textContent: "Health" }), ...ways,
    element("span", { textContent: `a point is ${found.seconds < 60 ? `${found.seconds} s` : `${found.seconds / 60} min`}` }))];
  for (const trouble of found.troubles) parts.push(element("p", { className: "trouble", textContent: trouble }));
  const subjects = [...new Set(found.series.map((s) => s.subject))].sort(order);
  for (const subject of subjects) {
    const plots = found.series.filter((s) => s.subject === subject && !s.figure.startsWith("refused for ")).map((s) => plot(s, from, until));
    parts.push(element("h2", { textContent: subject }), element("div", { className: "plots" }, ...plots));
    const refused = found.series.filter((s) => s.subject === subject && s.figure.startsWith("refused for "));
    if (refused.length) {
      const rows = refused.map((s) => {
        const words = s.figure.slice("refused for ".length).split(" ");
        const rule = words.pop();
        const many = s.points.reduce((sum, [, rate]) => sum + (rate || 0) * found.seconds, 0);
        return [words.join(" "), rule, Math.round(many)];
      }).sort((a, b) => b[2] - a[2]);
      parts.push(element("table", {}, heads(["column", "rule", "requests refused"]), ...rows.map((cells) => row(cells.map(String)))));
    }
  }
  if (!subjects.length) parts.push(element("p", { className: "empty", textContent: "Nothing was sampled yet: a sample is taken every 10 seconds." }));
  place("content").replaceChildren(...parts);
  say(found.troubles.length ? `${found.troubles.length} in trouble` : "all well", !found.troubles.length);
}

async function round() {
  clearTimeout(timer);
  await attempt(show, "not reached");
  timer = setTimeout(round, PAUSE);
}

window.addEventListener("hashchange", round);
round();
