// Draws what happened around an incident: one picture of its time line, and the figures below it
// over the same stretch of time.
"use strict";

const LANES = [["alert", "alerts"], ["finding", "found"], ["data", "data"], ["decision", "decided"],
  ["training", "trained"], ["rollout", "rolled out"], ["people", "people"]];
const LEFT = 96, RIGHT = 22, STEP = 38;
const DAY = 86400000;

function known(account) {
  const moments = account.moments.map((m) => Date.parse(m.time));
  const windows = account.plots.flatMap((p) => p.points.flatMap((x) => [Date.parse(x.since), Date.parse(x.until)]));
  return [...moments, ...windows, Date.parse(account.incident.opened)];
}

// Where the incident ends: now, if it goes on; but not long after the last that is known of it.
function end(account) {
  if (account.incident.resolved) return account.incident.resolved;
  const moments = known(account), last = Math.max(...moments);
  const room = Math.max((last - Math.min(...moments)) / 2, DAY);
  return new Date(Math.min(Date.parse(account.now), last + room)).toISOString();
}

function stretch(account) {
  const ends = [...known(account), Date.parse(end(account))];
  const [first, last] = [Math.min(...ends), Math.max(...ends)];
  const room = Math.max((last - first) * 0.02, 60000);
  return [first - room, last + room];
}

function scale([first, last], width) {
  return (moment) => LEFT + ((Date.parse(moment) - first) / (last - first)) * (width - LEFT - RIGHT);
}

// Moments at which the time is written, and how.
function ticks([first, last]) {
  const span = last - first;
  const paces = [60000, 600000, 3600000, 6 * 3600000, DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 365 * DAY, 730 * DAY];
  const pace = paces.find((p) => span / p <= 9) || 3650 * DAY;
  const found = [];
  for (let at = Math.ceil(first / pace) * pace; at <= last; at += pace) {
    const text = new Date(at).toISOString();
    found.push([text, pace < DAY ? text.slice(span > DAY ? 5 : 11, 16).replace("T", " ") : text.slice(0, 10)]);
  }
  return found;
}

function canvas(height, width, label) {
  return drawn("svg", { class: "course", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
}

function axis(picture, domain, x, top, bottom) {
  for (const [moment, text] of ticks(domain)) {
    picture.append(drawn("line", { class: "grid", x1: x(moment), x2: x(moment), y1: top, y2: bottom }),
      drawn("text", { x: x(moment), y: bottom + 15, "text-anchor": "middle" }, text));
  }
}

function shaded(picture, account, x, top, bottom) {
  const [from, to] = [x(account.incident.opened), x(end(account))];
  picture.append(drawn("rect", { class: "stretch", x: from, y: top, width: Math.max(to - from, 2), height: bottom - top }));
}

// The time line

function pictured(account, width, choose) {
  const lanes = LANES.filter(([lane]) => account.moments.some((m) => m.lane === lane));
  const bottom = lanes.length * STEP + 12;
  const domain = stretch(account), x = scale(domain, width);
  const picture = canvas(bottom + 22, width, "what happened, by time");
  axis(picture, domain, x, 4, bottom);
  shaded(picture, account, x, 4, bottom);
  lanes.forEach(([, name], i) => picture.append(
    drawn("line", { class: "lane", x1: LEFT, x2: width - RIGHT, y1: height(i), y2: height(i) }),
    drawn("text", { class: "name", x: 0, y: height(i) + 4 }, name)));
  const alerts = lanes.findIndex(([lane]) => lane === "alert");
  if (alerts >= 0) firing(account).forEach(({ from, to, severity }) => picture.append(drawn("rect", {
    class: `span ${severity}`, x: x(from), y: height(alerts) - 8, width: Math.max(x(to) - x(from), 2), height: 16, rx: 3 })));
  const spots = placed(account.moments, lanes.map(([lane]) => lane), x);
  for (const m of account.moments) if (m.cause && spots[m.cause]) picture.append(drawn("path", { class: "because", d: curve(spots[m.cause], spots[m.fact]) }));
  account.moments.forEach((m, i) => picture.append(event(m, spots[m.fact], () => choose(i))));
  return picture;
}

const height = (lane) => 22 + lane * STEP;

// Dots of one lane that would hide one another stand side by side.
function placed(moments, lanes, x) {
  const spots = {}, taken = {};
  for (const m of moments) {
    const lane = lanes.indexOf(m.lane);
    let at = x(m.time);
    while ((taken[lane] || []).some((other) => Math.abs(other - at) < 11)) at += 11;
    (taken[lane] = taken[lane] || []).push(at);
    spots[m.fact] = { x: at, y: height(lane) };
  }
  return spots;
}

function curve(a, b) {
  const middle = (a.y + b.y) / 2;
  if (a.y === b.y) return `M${a.x} ${a.y}Q${(a.x + b.x) / 2} ${a.y - 18} ${b.x} ${b.y}`;
  return `M${a.x} ${a.y}C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${b.y}`;
}

function event(moment, spot, choose) {
  const dot = drawn("circle", { class: `event ${moment.tone}`, cx: spot.x, cy: spot.y, r: 5, tabindex: 0 });
  dot.append(drawn("title", {}, `${minute(moment.time)} ${moment.title}. ${moment.text}`));
  dot.addEventListener("click", choose);
  dot.addEventListener("keydown", (pressed) => { if (pressed.key === "Enter") choose(); });
  return dot;
}

// When alerts fired: from each fact that one does to the one that it is over.
function firing(account) {
  const spans = [];
  for (const alert of account.alerts) {
    const own = account.moments.filter((m) => m.lane === "alert" && m.reference === `alert:${alert.number}`);
    let from = null;
    for (const m of own) {
      if (m.tone !== "good" && from === null) from = m.time;
      if (m.tone === "good" && from !== null) {
        spans.push({ from, to: m.time, severity: alert.severity });
        from = null;
      }
    }
    if (from !== null && alert.status === "firing") spans.push({ from, to: end(account), severity: alert.severity });
  }
  return spans;
}

// The figures

function plotted(account, plot, width) {
  const domain = stretch(account), x = scale(domain, width);
  const points = plot.points.filter((p) => typeof p.value === "number");
  const values = plot.points.flatMap((p) => [p.value, p.low, p.high, p.expected, p.limit]).concat(plot.limits.map((l) => l.value)).filter((v) => typeof v === "number");
  const room = (Math.max(...values) - Math.min(...values)) * 0.08 || Math.abs(values[0]) * 0.05 || 1;
  const [low, high] = [Math.min(...values) - room, Math.max(...values) + room];
  const bottom = 160, y = (v) => bottom - ((v - low) / (high - low)) * (bottom - 10);
  const picture = canvas(bottom + 22, width, `${plot.figure} by window`);
  axis(picture, domain, x, 6, bottom);
  shaded(picture, account, x, 6, bottom);
  for (const v of round(low, high)) {
    picture.append(drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }),
      drawn("text", { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, figure(v)));
  }
  const line = (some, value) => some.map((p, i) => `${i ? "L" : "M"}${x(p.until).toFixed(1)} ${y(value(p)).toFixed(1)}`).join("");
  const sure = points.filter((p) => typeof p.low === "number");
  if (sure.length > 1) picture.append(drawn("path", { class: "band", d: `${line(sure, (p) => p.high)}${line([...sure].reverse(), (p) => p.low).replace("M", "L")}Z` }));
  const expected = plot.points.filter((p) => typeof p.expected === "number");
  if (expected.length > 1) picture.append(drawn("path", { class: "expected", d: line(expected, (p) => p.expected) }));
  picture.append(drawn("path", { class: "value", d: line(points, (p) => p.value) }));
  for (const p of points) {
    const dot = drawn("circle", { class: "point", cx: x(p.until), cy: y(p.value), r: 3 });
    dot.append(drawn("title", {}, `until ${day(p.until)}: ${figure(p.value)}, version ${p.version}`));
    picture.append(dot);
  }
  versions(picture, plot, x, bottom);
  const steps = plot.points.filter((p) => typeof p.limit === "number")
    .map((p, i) => `${i ? "L" : "M"}${x(p.since).toFixed(1)} ${y(p.limit).toFixed(1)}L${x(p.until).toFixed(1)} ${y(p.limit).toFixed(1)}`).join("");
  if (steps) picture.append(drawn("path", { class: "limit", d: steps }));
  for (const limit of plot.limits) picture.append(
    drawn("line", { class: "limit", x1: LEFT, x2: width - RIGHT, y1: y(limit.value), y2: y(limit.value) }),
    drawn("text", { class: "limitname", x: width - RIGHT, y: y(limit.value) - 5, "text-anchor": "end" }, `${limit.name}: ${Number(limit.value.toPrecision(3))}`));
  for (const { from, to } of firing(account)) {
    picture.append(drawn("line", { class: "fires", x1: x(from), x2: x(from), y1: 6, y2: bottom }));
    if (to !== end(account) || account.incident.resolved) picture.append(drawn("line", { class: "over", x1: x(to), x2: x(to), y1: 6, y2: bottom }));
  }
  return picture;
}

// Round figures within a range, four or so.
function round(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const pace = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let at = Math.ceil(low / pace); at * pace <= high; at += 1) found.push(at * pace);
  return found;
}

function versions(picture, plot, x, bottom) {
  plot.points.forEach((p, i) => {
    const before = plot.points[i - 1];
    if (!before || before.version === p.version) return;
    picture.append(drawn("line", { class: "version", x1: x(p.since), x2: x(p.since), y1: 6, y2: bottom }),
      drawn("text", { x: x(p.since) + 4, y: 16 }, `v${p.version}`));
  });
}
