// Data: datasets, their versions, the columns of a version, and how two versions differ.
"use strict";

const link = (text, hash) => element("a", { textContent: text, href: `#${hash}` });
const counted = (rows) => rows.toLocaleString("en");
const number = (text) => element("td", { className: "number", textContent: text });
const short = (version) => version.slice(0, 12);
const numeric = (...places) => (at) => (places.includes(at) ? { className: "number" } : {});

async function list() {
  const found = await operation("datasets");
  const rows = found.map((v) => row([
    element("td", {}, link(v.dataset, encodeURIComponent(v.dataset))), number(counted(v.rows)), number(String(v.files)),
    element("td", {}, link(short(v.version), `${encodeURIComponent(v.dataset)}/${v.version}`)), minute(v.created), v.actor,
  ]));
  const none = element("p", { className: "empty", textContent: "No data yet: name a source in tidemill.toml, then `tidemill run`." });
  const titles = heads(["dataset", "rows", "files", "newest version", "made", "by"], numeric(1, 2));
  place("content").replaceChildren(element("div", { className: "bartop" }, element("h2", { textContent: "Datasets" })),
    rows.length ? element("div", { className: "scroll" }, element("table", {}, titles, ...rows)) : none);
  say(`${found.length} ${found.length === 1 ? "dataset" : "datasets"}`);
}

async function dataset(name) {
  const versions = await operation("dataset_versions", { dataset: name, limit: 100 });
  const most = Math.max(...versions.map((v) => v.rows), 1);
  const rows = versions.map((v, at) => {
    const bar = element("span", { className: "amount" });
    bar.style.width = `${(100 * v.rows) / most}%`;
    const before = versions[at + 1];
    const differs = before ? link("compare with the one before", `${encodeURIComponent(name)}/${before.version}/${v.version}`) : "–";
    return row([
      element("td", {}, link(`${v.number}`, `${encodeURIComponent(name)}/${v.version}`)), element("td", { className: "reference", textContent: short(v.version) }),
      number(counted(v.rows)), element("td", { className: "wide" }, bar), number(`+${v.added.length} −${v.removed.length}`),
      minute(v.created), v.message || v.actor, element("td", {}, differs),
    ]);
  });
  const titles = heads(["version", "digest", "rows", "", "files", "made", "why", ""], numeric(2, 4));
  place("content").replaceChildren(
    element("div", { className: "bartop" }, element("h2", { textContent: name }), element("span", { textContent: `${versions.length} versions` })),
    element("div", { className: "scroll" }, element("table", {}, titles, ...rows)));
  say(`dataset ${name}`);
}

// The columns of a version

function strip(column) {
  if (column.quantiles.length) return spread(column.quantiles);
  const bars = element("div", { className: "tops" });
  for (const [value, part] of column.top.slice(0, 5)) {
    const bar = element("span", { className: "amount" });
    bar.style.width = `${100 * part}%`;
    bars.append(element("div", { title: `${value}: ${share(part)}` }, element("span", { textContent: value }), element("i", {}, bar), element("b", { textContent: share(part) })));
  }
  return bars;
}

function spread(quantiles) {
  const [low, , , , , , high] = quantiles;
  const x = (v) => 3 + ((v - low) / (high - low || 1)) * 234;
  const [, p5, p25, p50, p75, p95] = quantiles.map(x);
  const said = `least ${figure(low)}, middle ${figure(quantiles[3])}, most ${figure(high)}`;
  const picture = drawn("svg", { class: "spread", viewBox: "0 0 240 22", role: "img", "aria-label": said });
  picture.append(drawn("line", { class: "grid", x1: 3, x2: 237, y1: 11, y2: 11 }), drawn("line", { class: "tail", x1: p5, x2: p95, y1: 11, y2: 11 }),
    drawn("rect", { x: p25, y: 4, width: Math.max(p75 - p25, 1), height: 14, rx: 2 }), drawn("line", { class: "middle", x1: p50, x2: p50, y1: 2, y2: 20 }), drawn("title", {}, said));
  return picture;
}

async function version(name, digest) {
  const ref = `dataset:${name}@${short(digest)}`;
  const [found, columns] = await Promise.all([operation("dataset_version", { ref }), operation("dataset_profile", { ref })]);
  const limits = Object.fromEntries((found.contract?.columns || []).map((c) => [c.name, c]));
  const rows = columns.map((c) => row([
    c.name, limits[c.name]?.type || c.type, number(share(c.missing)), number(counted(c.distinct)),
    number(c.quantiles.length ? figure(c.quantiles[0]) : ""), number(typeof c.mean === "number" ? figure(c.mean) : ""), number(c.quantiles.length ? figure(c.quantiles.at(-1)) : ""),
    element("td", { className: "wide" }, strip(c)), limits[c.name]?.role === "feature" ? "" : limits[c.name]?.role || "",
  ]));
  const titles = heads(["column", "type", "missing", "different", "least", "mean", "most", "from 5% to 95%, half of the rows in the box", ""], numeric(2, 3, 4, 5, 6));
  place("content").replaceChildren(
    element("div", { className: "bartop" }, element("h2", {}, link(name, encodeURIComponent(name)), ` version ${found.number}`),
      element("span", { textContent: `${counted(found.rows)} rows in ${found.files} files · made ${minute(found.created)} by ${found.actor}` }), element("span", { textContent: ref })),
    element("div", { className: "scroll" }, element("table", {}, titles, ...rows)));
  say(`version ${found.number} of ${name}`);
}

// Two versions

async function compare(name, before, after) {
  const ref = (digest) => `dataset:${name}@${short(digest)}`;
  const found = await operation("dataset_diff", { before: ref(before), after: ref(after) });
  const rows = found.columns.map((c) => row([c.column, c.change, c.before, c.after]));
  const none = element("p", { className: "empty", textContent: "The columns are the same, and so is what they hold." });
  place("content").replaceChildren(
    element("div", { className: "bartop" }, element("h2", {}, link(name, encodeURIComponent(name)), `: ${short(before)} → ${short(after)}`),
      element("span", { textContent: `${counted(found.rows_before)} → ${counted(found.rows_after)} rows, ${found.files_added} files added, ${found.files_removed} removed` })),
    rows.length ? element("div", { className: "scroll" }, element("table", {}, heads(["column", "what", "before", "after"]), ...rows)) : none);
  say("compared");
}

function show() {
  return attempt(async () => {
    const [name, first, second] = location.hash.slice(1).split("/").map(decodeURIComponent);
    if (second) await compare(name, first, second);
    else if (first) await version(name, first);
    else if (name) await dataset(name);
    else await list();
  });
}

window.onhashchange = show;
show();
