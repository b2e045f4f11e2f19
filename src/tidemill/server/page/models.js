// Models: their versions side by side, what was live when and why, and where a version came from.
"use strict";

const link = (text, hash) => element("a", { textContent: text, href: `#${hash}` });
const run = (id) => (id ? element("a", { textContent: id.slice(0, 12), title: id, href: `/page/runs.html#runs/${id}` }) : "–");
const cell = (content, number = false) => element("td", { className: number ? "number" : "" }, content);

function aliases(names) {
  return element("span", {}, ...names.map((name) => element("span", { className: "badge", textContent: name })));
}

// All models

async function list() {
  const models = await operation("models");
  const rows = models.map((m) => row([
    cell(link(m.name, encodeURIComponent(m.name))), figure(m.latest),
    cell(aliases(Object.entries(m.aliases).map(([alias, version]) => `${alias} → ${version}`))),
    minute(m.updated), m.description || "",
  ]));
  const none = element("p", { className: "empty", textContent: "No model is registered yet: make one with `tidemill run`." });
  place("content").replaceChildren(element("div", { className: "bartop" }, element("h2", { textContent: "Models" })),
    rows.length ? element("div", { className: "scroll" }, element("table", {}, heads(["model", "newest", "aliases", "changed", ""]), ...rows)) : none);
  say(`${models.length} ${models.length === 1 ? "model" : "models"}`);
}

// One model

function trend(versions, metric) {
  const points = [...versions].reverse().filter((v) => typeof v.metrics[metric] === "number");
  const values = points.map((v) => v.metrics[metric]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const picture = drawn("svg", { viewBox: "0 0 300 120", role: "img", "aria-label": `${metric} by version` });
  const x = (i) => 10 + (i / Math.max(points.length - 1, 1)) * 280;
  const y = (v) => 104 - ((v - low) / (high - low || 1)) * 88;
  picture.append(drawn("path", { class: "c0", d: values.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("") }));
  points.forEach((v, i) => {
    const dot = drawn("circle", { class: v.aliases.includes("champion") ? "live" : "past", cx: x(i), cy: y(values[i]), r: 4 });
    dot.append(drawn("title", {}, `version ${v.version}: ${figure(values[i])}`));
    picture.append(dot);
  });
  const caption = element("figcaption", {}, element("span", { textContent: `${metric} on held-out rows` }), element("b", { textContent: figure(values.at(-1)) }));
  return element("figure", {}, caption, picture);
}

async function model(name) {
  const [versions, history] = await Promise.all([operation("versions", { model: name }), operation("history", { model: name })]);
  const metrics = [...new Set(versions.flatMap((v) => Object.keys(v.metrics)))].slice(0, 6);
  const number = (at) => (at > 2 && at < 3 + metrics.length ? { className: "number" } : {});
  const rows = versions.map((v) => row([
    cell(link(String(v.version), `${encodeURIComponent(name)}/${v.version}`)), v.status, cell(aliases(v.aliases)),
    ...metrics.map((m) => cell(figure(v.metrics[m]), true)), cell(v.dataset || "–"), cell(run(v.run_id)), minute(v.created),
  ]));
  const table = element("table", {}, heads(["version", "status", "aliases", ...metrics, "dataset", "run", "made"], number), ...rows);
  const plots = versions.length > 1 ? metrics.map((m) => trend(versions, m)) : [];
  const past = history.map((c) => element("li", { className: c.version === null ? "bad" : "good" },
    element("time", { textContent: minute(c.time) }),
    element("span", { className: "kind", textContent: `${c.alias}: ${c.previous ?? "none"} → ${c.version ?? "none"}` }),
    worded("p", c.reason), element("p", { className: "result", textContent: c.actor })));
  const none = element("li", { className: "empty", textContent: "Nothing yet." });
  place("content").replaceChildren(
    element("div", { className: "bartop" }, element("h2", { textContent: name }), element("span", { textContent: `${versions.length} ${versions.length === 1 ? "version" : "versions"}` })),
    element("div", { className: "plots" }, ...plots), element("div", { className: "scroll" }, table),
    element("div", {}, element("h2", { textContent: "What was live when, and why" }), element("ol", { className: "line" }, ...(past.length ? past : [none]))));
  say(`model ${name}`);
}

// One version

function twinned(manifest) {
  if (!manifest.twin) return `none: ${manifest.no_twin}`;
  const { parity } = manifest.twin;
  return `verified on ${parity.rows.toLocaleString("en")} rows, largest difference ${parity.max_difference.toPrecision(2)}`;
}

const COLUMNS = [["code", "environment", "dataset"], ["run"], ["model"], ["endpoint"]];
const WIDTH = 220;
const HEIGHT = 46;

function target(ref) {
  const [kind, name = ""] = [ref.slice(0, ref.indexOf(":")), ref.slice(ref.indexOf(":") + 1)];
  if (kind === "run") return `/page/runs.html#runs/${name}`;
  if (kind === "model") return `#${name.split("@").map(encodeURIComponent).join("/")}`;
  return kind === "dataset" ? `/page/data.html#${encodeURIComponent(name.split("@")[0])}` : null;
}

function origin(edges, ref) {
  const title = element("h2", { textContent: "From what, and into what" });
  if (!edges.length) return element("div", {}, title, element("p", { className: "empty", textContent: `Nothing is known of what ${ref} came from.` }));
  const names = [...new Set(edges.flatMap((e) => [e.source, e.target]))];
  const spots = {}, filled = {};
  for (const name of names) {
    const column = COLUMNS.findIndex((kinds) => kinds.includes(name.split(":")[0]));
    const at = column < 0 ? COLUMNS.length : column;
    spots[name] = { x: at * (WIDTH + 60) + 1, y: 1 + (filled[at] = (filled[at] ?? -1) + 1) * (HEIGHT + 16) };
  }
  const right = Math.max(...Object.values(spots).map((s) => s.x)) + WIDTH + 1;
  const below = Math.max(...Object.values(spots).map((s) => s.y)) + HEIGHT + 1;
  const picture = drawn("svg", { class: "lineage", viewBox: `0 0 ${right} ${below}`, width: right, height: below, role: "img", "aria-label": `what ${ref} came from` });
  for (const { source, target: to, relation } of edges) {
    const [a, b] = [spots[source], spots[to]];
    const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x, b.y + HEIGHT / 2];
    const middle = (x1 + x2) / 2;
    const line = drawn("path", { d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` });
    line.append(drawn("title", {}, `${source} ${relation} ${to}`));
    picture.append(line);
  }
  for (const name of names) picture.append(box(name, spots[name], name === `model:${ref}`));
  return element("div", {}, title, element("div", { className: "scroll" }, picture));
}

function box(name, { x, y }, here) {
  const colon = name.indexOf(":");
  const [kind, rest] = [name.slice(0, colon), name.slice(colon + 1)];
  const parts = drawn("g", { class: here ? "here" : "" });
  parts.append(drawn("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 8 }), drawn("text", { class: "kind", x: x + 12, y: y + 18 }, kind),
    drawn("text", { x: x + 12, y: y + 35 }, rest.length > 26 ? `${rest.slice(0, 25)}…` : rest), drawn("title", {}, name));
  const href = target(name);
  if (!href) return parts;
  const way = drawn("a", { href });
  way.append(parts);
  return way;
}

async function version(name, number) {
  const ref = `${name}@${number}`;
  const found = await operation("version", { ref });
  const [manifest, edges] = await Promise.all([found.bundle ? operation("manifest", { ref }) : null, operation("lineage", { ref: `model:${ref}` })]);
  const about = {
    status: found.status, aliases: aliases(found.aliases), task: found.task, flavor: found.flavor, run: run(found.run_id),
    dataset: found.dataset, made: minute(found.created), by: found.actor, description: found.description || "–",
  };
  const left = element("div", {}, facts("Version", about), facts("Quality on held-out rows", found.metrics));
  const right = element("div", {});
  if (manifest) {
    right.append(facts("Bundle", { "ONNX twin": twinned(manifest), classes: manifest.signature.classes.join(", ") || "–", files: manifest.files.length, size: bytes(manifest.files.reduce((sum, f) => sum + f.size, 0)), digest: found.bundle }),
      facts("Made with", manifest.libraries));
  }
  const features = manifest ? manifest.signature.features : [];
  const limits = (c) => (c.values ? c.values.slice(0, 6).join(", ") + (c.values.length > 6 ? ", …" : "") : [c.min ?? "", c.max ?? ""].join(" to "));
  const columns = features.map((c) => row([c.name, c.type, c.nullable ? "may be missing" : "always there", limits(c) === " to " ? "" : limits(c)]));
  place("content").replaceChildren(
    element("div", { className: "bartop" }, element("h2", {}, link(name, encodeURIComponent(name)), ` version ${number}`)),
    element("div", { className: "columns" }, left, right), origin(edges, ref),
    element("div", {}, element("h2", { textContent: `${features.length} columns that a request gives` }), element("div", { className: "scroll" }, element("table", {}, heads(["column", "type", "", "limits"]), ...columns))));
  say(`version ${number} of ${name}`);
}

function show() {
  return attempt(async () => {
    const [name, number] = location.hash.slice(1).split("/").map(decodeURIComponent);
    if (number) await version(name, number);
    else if (name) await model(name);
    else await list();
  });
}

window.onhashchange = show;
show();
