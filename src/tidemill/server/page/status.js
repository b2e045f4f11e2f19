// Draws the home's status and renews it. Everything that comes from the server is set as text,
// never as markup.
"use strict";

const PAUSE = 3000;

const number = (value) => (typeof value === "number" ? value.toFixed(3) : "–");

function traffic(deployment) {
  const canary = deployment.canary_percent || 0;
  const bar = element("div", { className: "bar" });
  const live = deployment.champion;
  const main = element("span", { className: "champion" });
  main.textContent = `version ${live.version} · ${100 - canary}%`;
  main.style.flexGrow = 100 - canary;
  bar.append(main);
  if (deployment.canary) {
    const part = element("span", { className: "canary" });
    part.textContent = `${deployment.canary.version} · ${canary}%`;
    part.style.flexGrow = canary;
    bar.append(part);
  }
  return bar;
}

function chart(windows, metric) {
  const points = windows.filter((w) => typeof w.realised[metric] === "number");
  if (points.length < 2) return element("p", { className: "empty", textContent: "A chart comes with the second window." });
  const width = roomIn("endpoints", 46), right = width - 14;
  const figure = drawn("svg", { class: "chart", viewBox: `0 0 ${width} 190`, role: "img" });
  const values = [];
  for (const w of points) {
    values.push(w.realised[metric], ...(w.intervals[metric] || []));
    if (typeof w.estimated[metric] === "number") values.push(w.estimated[metric]);
  }
  const low = Math.min(...values), high = Math.max(...values);
  const first = Date.parse(points[0].since), span = Date.parse(points.at(-1).since) - first || 1;
  const x = (w) => 46 + ((Date.parse(w.since) - first) / span) * (right - 46);
  const y = (v) => 164 - ((v - low) / (high - low || 1)) * 150;
  const path = (list, value) => list.map((w, i) => `${i ? "L" : "M"}${x(w).toFixed(1)} ${y(value(w)).toFixed(1)}`).join("");
  for (let i = 0; i <= 3; i++) {
    const v = low + ((high - low) * i) / 3;
    figure.append(drawn("line", { class: "grid", x1: 46, x2: right, y1: y(v), y2: y(v) }));
    figure.append(drawn("text", { x: 2, y: y(v) + 4 }, v.toFixed(2)));
  }
  const sure = points.filter((w) => w.intervals[metric]);
  if (sure.length > 1) {
    const back = [...sure].reverse().map((w) => `L${x(w).toFixed(1)} ${y(w.intervals[metric][0]).toFixed(1)}`).join("");
    figure.append(drawn("path", { class: "band", d: path(sure, (w) => w.intervals[metric][1]) + back + "Z" }));
  }
  points.forEach((w, i) => {
    if (i && points[i - 1].version !== w.version) {
      figure.append(drawn("line", { class: "change", x1: x(w), x2: x(w), y1: 10, y2: 166 }));
      figure.append(drawn("text", { x: x(w) + 4, y: 18 }, `v${w.version}`));
    }
  });
  const guessed = points.filter((w) => typeof w.estimated[metric] === "number");
  if (guessed.length > 1) figure.append(drawn("path", { class: "estimated", d: path(guessed, (w) => w.estimated[metric]) }));
  figure.append(drawn("path", { class: "realised", d: path(points, (w) => w.realised[metric]) }));
  figure.append(drawn("text", { x: 46, y: 186 }, day(points[0].since)));
  figure.append(drawn("text", { x: right, y: 186, "text-anchor": "end" }, day(points.at(-1).until)));
  return figure;
}

function endpoint(entry) {
  const { deployment, rollout } = entry;
  const windows = [...entry.windows].reverse();
  // Where nobody has asked since, what was seen last still tells something.
  const last = windows.findLast((w) => w.predictions) ?? windows.at(-1);
  const metric = last ? Object.keys(last.realised)[0] || Object.keys(last.estimated)[0] : undefined;
  const article = element("article");
  article.append(element("header", {}, element("h3", {}, element("a", { textContent: deployment.endpoint, href: `/page/endpoint.html#${encodeURIComponent(deployment.endpoint)}` }))));
  const tiles = element("dl", { className: "tiles" });
  tiles.append(tile("live", `version ${deployment.champion.version}`, deployment.champion.model));
  if (last) {
    tiles.append(tile(metric || "quality", number(last.realised[metric]), `when made ${number(last.reference[metric])}`));
    tiles.append(tile("labelled", `${Math.round(last.coverage * 100)}%`, `of ${last.predictions.toLocaleString()} in the window`));
    tiles.append(tile("answered in", last.predictions ? `${(last.latency_p99_us / 1000).toFixed(1)} ms` : "–", "99 of 100"));
    const moved = last.columns.filter((c) => c.drifted).map((c) => c.column);
    tiles.append(tile("columns that moved", String(moved.length), moved.slice(0, 3).join(", ")));
  }
  article.append(tiles, traffic(deployment));
  if (last && last !== windows.at(-1)) article.append(element("p", { className: "key", textContent: `nobody has asked since ${day(last.until)}` }));
  if (rollout) article.append(element("p", { className: "key", textContent: `rolling out version ${rollout.candidate.version}: ${rollout.reason}` }));
  if (metric) {
    article.append(chart(windows, metric));
    const key = element("p", { className: "key" });
    key.append(element("i"), `${metric} realised, with its 95% interval`, element("i", { className: "dash" }), "expected without labels");
    article.append(key);
  } else {
    article.append(element("p", { className: "empty", textContent: last ? "No label has come yet." : "No window has been judged yet." }));
  }
  return article;
}

const TONE = { rollback: "bad", "refuse-data": "bad", promote: "good", critical: "bad", warning: "warn" };

function item(tone, moment, kind, ...texts) {
  const made = element("li", { className: TONE[tone] || "" });
  made.append(element("time", { textContent: moment }), element("span", { className: "kind", textContent: kind }));
  texts.filter(Boolean).forEach((text, i) => made.append(worded("p", text, { className: i ? "result" : "" })));
  return made;
}

function fill(id, items, nothing) {
  place(id).replaceChildren(...(items.length ? items : [element("li", { className: "empty", textContent: nothing })]));
}

function table(models) {
  const rows = models.map((m) => {
    const aliases = Object.entries(m.aliases).map(([alias, v]) => `${alias} → ${v}`).join(", ");
    const name = element("a", { textContent: m.name, href: `/page/models.html#${encodeURIComponent(m.name)}` });
    return row([element("td", {}, name), String(m.latest ?? "–"), aliases || "–", day(m.created)]);
  });
  place("models").replaceChildren(heads(["model", "newest", "aliases", "since"]), ...rows);
}

function fires(alert) {
  const made = item(alert.severity, minute(alert.fired), `${alert.endpoint || alert.subject.split(":")[1]}: ${alert.rule}`, alert.message);
  const taken = alert.acknowledged ? `taken by ${alert.acknowledged.by}, ` : "";
  made.append(element("p", { className: "result" }, taken, element("a", { textContent: `incident ${alert.incident}`, href: `/page/incidents.html#${alert.incident}` })));
  return made;
}

function show(status) {
  say(`${status.workers} ${status.workers === 1 ? "worker" : "workers"} at ${status.serving || "–"} · ${status.version}`);
  const endpoints = status.endpoints.map(endpoint);
  const none = element("article", {}, element("p", { className: "empty", textContent: "Nothing is deployed yet: start with `tidemill run`." }));
  place("endpoints").replaceChildren(...(endpoints.length ? endpoints : [none]));
  place("firing").hidden = !status.alerts.length;
  fill("alerts", status.alerts.map(fires), "");
  fill("decisions", status.decisions.map((d) => item(d.kind, minute(d.time), d.kind, d.reason, d.result)), "Nothing yet.");
  fill("findings", status.findings.map((f) => item(f.severity, `until ${day(f.until)}`, f.kind, f.message)), "Nothing yet.");
  table(status.models);
  fill("intentions", status.intentions.map((i) => worded("li", `${i.model}: ${i.act ? "train now" : "wait"}. ${i.reason}`)), "The policy has no model.");
}

async function renew() {
  try {
    show(await operation("status"));
  } catch (error) {
    say("no answer", false);
  }
  setTimeout(renew, PAUSE);
}

renew();
