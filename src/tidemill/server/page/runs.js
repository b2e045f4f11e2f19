// Runs: found by a filter, looked at while they log, and compared. Everything that comes from the
// server is set as text, never as markup.
"use strict";

const CORE = "/ajax-api/2.0/mlflow";
const PAUSE = 2500;
const COLOURS = 6;
const chosen = new Set();
// What was asked for last: the fields may hold what is still being typed.
let asked = { filter: "", order: "" };
let timer = 0;

async function tracked(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const answer = await fetch(CORE + path, { cache: "no-store", ...options });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message || String(answer.status));
  return told;
}

// A comma parts the members of an order, but for one in quotes.
const ordered = (text) => (text.match(/(?:`[^`]*`|"[^"]*"|[^,])+/g) || []).map((part) => part.trim()).filter(Boolean);
const named = (entries) => Object.fromEntries((entries || []).map((e) => [e.key, e.value]));
const moment = (millis) => (millis ? new Date(millis).toISOString().slice(0, 16).replace("T", " ") : "–");
const param = (value) => (/^-?\d+\.\d{7,}$/.test(value ?? "") ? figure(Number(value)) : figure(value));

function lasted(info) {
  const seconds = Math.max(0, ((info.end_time || Date.now()) - info.start_time) / 1000);
  if (seconds >= 172800) return `${(seconds / 86400).toFixed(0)} days`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// The list

async function list() {
  const experiment = place("experiment").value;
  const body = { experiment_ids: experiment ? [experiment] : everywhere, max_results: 100 };
  if (asked.filter.trim()) body.filter = asked.filter;
  if (asked.order.trim()) body.order_by = ordered(asked.order);
  const { runs = [] } = await tracked("/runs/search", body);
  const counts = {};
  for (const run of runs) for (const m of run.data.metrics || []) counts[m.key] = (counts[m.key] || 0) + 1;
  const metrics = Object.keys(counts).sort((a, b) => counts[b] - counts[a] || a.localeCompare(b)).slice(0, 5);
  const button = element("button", { textContent: "Compare", disabled: chosen.size < 2 });
  button.onclick = () => { location.hash = `compare/${[...chosen].join(",")}`; };
  const top = element("div", { className: "bartop" }, element("h2", { textContent: "Runs" }),
    element("span", { textContent: runs.length === 100 ? "the first 100" : `${runs.length} found` }), button);
  const titles = ["", "run", "started", "took", ...metrics];
  const head = element("tr", {}, ...titles.map((t, i) => element("th", { textContent: t, className: i > 3 ? "number" : "" })));
  const rows = runs.map((run) => listed(run, metrics, button));
  const none = element("p", { className: "empty", textContent: "No run is like that. Log one: `import tidemill as tm; tm.log_metric('auc', 0.7)`." });
  place("content").replaceChildren(top, rows.length ? element("div", { className: "scroll" }, element("table", {}, head, ...rows)) : none);
  say(`${runs.filter((r) => r.info.status === "RUNNING").length} running`);
}

function listed(run, metrics, button) {
  const { info } = run;
  const box = element("input", { type: "checkbox", checked: chosen.has(info.run_id), ariaLabel: `choose ${info.run_name}` });
  box.onclick = (event) => {
    event.stopPropagation();
    if (box.checked) chosen.add(info.run_id); else chosen.delete(info.run_id);
    button.disabled = chosen.size < 2;
  };
  const values = Object.fromEntries((run.data.metrics || []).map((m) => [m.key, m.value]));
  const name = element("a", { className: `dot ${info.status}`, textContent: info.run_name || info.run_id, href: `#runs/${info.run_id}`, title: info.status });
  const cells = [element("td", {}, box), element("td", {}, name), moment(info.start_time), lasted(info),
    ...metrics.map((key) => element("td", { className: "number", textContent: figure(values[key]) }))];
  const made = row(cells, { className: "run" });
  made.onclick = (event) => { if (event.target.tagName !== "A") location.hash = `runs/${info.run_id}`; };
  return made;
}

// Charts

function chart(title, series, latest) {
  const every = series.flatMap((points) => points).filter((p) => typeof p.value === "number");
  const caption = element("figcaption", {}, element("span", { textContent: title }), element("b", { textContent: latest }));
  const picture = drawn("svg", { viewBox: "0 0 300 120", preserveAspectRatio: "none", role: "img", "aria-label": title });
  if (every.length) {
    const steps = every.map((p) => p.step), values = every.map((p) => p.value);
    const [left, right] = [Math.min(...steps), Math.max(...steps)];
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const x = (p) => 4 + ((p.step - left) / (right - left || 1)) * 292;
    const y = (p) => 110 - ((p.value - low) / (high - low || 1)) * 98;
    series.forEach((points, at) => {
      const line = points.filter((p) => typeof p.value === "number")
        .map((p, i) => `${i ? "L" : "M"}${x(p).toFixed(1)} ${y(p).toFixed(1)}`).join("");
      picture.append(drawn("path", { d: line, class: `c${at % COLOURS}` }));
    });
    caption.title = `steps ${left} to ${right}, from ${figure(low)} to ${figure(high)}`;
  }
  return element("figure", {}, caption, picture);
}

async function histories(ids, key) {
  const query = ids.map((id) => `run_ids=${encodeURIComponent(id)}`).join("&");
  const path = `/metrics/get-history-bulk-interval?${query}&metric_key=${encodeURIComponent(key)}&max_results=320`;
  const { metrics = [] } = await tracked(path);
  return ids.map((id) => metrics.filter((m) => m.run_id === id));
}

// One run

async function detail(id) {
  const { run } = await tracked(`/runs/get?run_id=${encodeURIComponent(id)}`);
  const metrics = run.data.metrics || [];
  const plots = await Promise.all(metrics.slice(0, 60).map(async (m) => {
    const series = m.step === 0 ? [[m]] : await histories([id], m.key);
    return series[0].length > 1 ? chart(m.key, series, figure(m.value)) : null;
  }));
  const tags = named(run.data.tags);
  const shown = Object.fromEntries(Object.entries(tags).filter(([key]) => !key.startsWith("mlflow.log-model")));
  const top = element("div", { className: "bartop" },
    element("h2", { className: `dot ${run.info.status}`, textContent: run.info.run_name || id }),
    element("span", { textContent: `${run.info.status.toLowerCase()}${run.info.lifecycle_stage === "deleted" ? ", deleted" : ""} · ${moment(run.info.start_time)} · ${lasted(run.info)} · ${run.info.user_id}` }),
    element("span", { textContent: id }));
  const note = element("p", { className: "note", textContent: tags["mlflow.note.content"] || "" });
  const left = element("div", {}, facts("Metrics", Object.fromEntries(metrics.map((m) => [m.key, m.value]))), facts("Params", named(run.data.params)));
  const own = files((folder) => `/artifacts/list?run_id=${encodeURIComponent(id)}&path=${encodeURIComponent(folder)}`,
    (path) => `/get-artifact?run_id=${encodeURIComponent(id)}&path=${encodeURIComponent(path)}`);
  const around = await Promise.all([own, models(run), family(run, tags)]);
  const right = element("div", {}, titled("Artifacts", around[0]), ...around[1], ...datasets(run), ...around[2], facts("Tags", shown));
  place("content").replaceChildren(top, note, element("div", { className: "plots" }, ...plots.filter(Boolean)), element("div", { className: "columns" }, left, right));
  say(run.info.status === "RUNNING" ? "live" : "ended");
  return run.info.status === "RUNNING";
}

const titled = (title, ...parts) => element("div", {}, element("h2", { textContent: title }), ...parts);
const stretch = (rows) => element("table", {}, ...rows);

// The models that a run read or wrote: MLflow keeps their files with them, not with the run.
async function models(run) {
  const ways = [["written", run.outputs?.model_outputs || []], ["read", run.inputs?.model_inputs || []]];
  const parts = ways.flatMap(([way, found]) => found.slice(0, 20).map(async ({ model_id: id }) => {
    const at = `/logged-models/${encodeURIComponent(id)}`;
    const about = await tracked(at).then((told) => told.model.info, () => null);
    const said = about ? about.status.replace("LOGGED_MODEL_", "").toLowerCase() : "not there any more";
    const cell = element("td", {}, about ? about.name : id, element("small", { textContent: ` ${id}` }));
    if (about) {
      cell.append(await files((folder) => `${at}/artifacts/directories?artifact_directory_path=${encodeURIComponent(folder)}`,
        (path) => `${CORE}${at}/artifacts/files?artifact_file_path=${encodeURIComponent(path)}`));
    }
    return row([cell, element("td", { className: "number", textContent: `${way}, ${said}` })]);
  }));
  return parts.length ? [titled("Models", stretch(await Promise.all(parts)))] : [];
}

function datasets(run) {
  const read = (run.inputs?.dataset_inputs || []).map(({ dataset, tags }) => {
    const context = named(tags)["mlflow.data.context"] || "";
    return row([element("td", {}, dataset.name, element("small", { textContent: ` ${dataset.digest}` })), context]);
  });
  return read.length ? [titled("Datasets", stretch(read))] : [];
}

// The run that this one belongs to, and those that belong to it.
async function family(run, tags) {
  const parent = tags["mlflow.parentRunId"];
  const filter = `tags.\`mlflow.parentRunId\` = '${run.info.run_id}'`;
  const { runs: children = [] } = await tracked("/runs/search", { experiment_ids: [run.info.experiment_id], filter, max_results: 100 });
  const rows = children.map((child) => row([kin(child.info), moment(child.info.start_time)]));
  if (/^[0-9a-f]{32}$/.test(parent || "")) {
    const told = await tracked(`/runs/get?run_id=${parent}`).catch(() => null);
    if (told) rows.unshift(row([kin(told.run.info), "belongs to it"]));
  }
  return rows.length ? [titled("Nested runs", stretch(rows))] : [];
}

function kin(info) {
  return element("td", {}, element("a", { className: `dot ${info.status}`, textContent: info.run_name || info.run_id, href: `#runs/${info.run_id}` }));
}

// A folder's files; `list` says where it is asked for, `where` a file is.
async function files(list, where, folder = "") {
  const { files: found = [] } = await tracked(list(folder));
  const rows = found.map((file) => {
    const link = element("a", { textContent: file.path.split("/").pop() + (file.is_dir ? "/" : "") });
    const cell = element("td", {}, link);
    if (file.is_dir) {
      link.href = "#";
      link.onclick = async (event) => { event.preventDefault(); cell.replaceChildren(link, await files(list, where, file.path)); };
    } else {
      link.href = where(file.path);
      link.download = "";
    }
    return row([cell, element("td", { className: "number", textContent: file.is_dir ? "" : `${file.file_size.toLocaleString("en")} B` })]);
  });
  return rows.length ? stretch(rows) : element("p", { className: "empty", textContent: "none" });
}

// Several runs

async function compare(ids) {
  const runs = (await Promise.all(ids.map((id) => tracked(`/runs/get?run_id=${encodeURIComponent(id)}`)))).map((a) => a.run);
  const head = element("tr", {}, element("th"), ...runs.map((r) => element("th", {}, element("a", { textContent: r.info.run_name, href: `#runs/${r.info.run_id}` }))));
  const table = (title, read) => {
    const keys = [...new Set(runs.flatMap((r) => Object.keys(read(r))))].sort();
    const rows = keys.map((key) => {
      const values = runs.map((r) => read(r)[key]);
      return row([key, ...values.map(param)], { className: new Set(values).size > 1 ? "differs" : "" });
    });
    return element("div", { className: "compare scroll" }, element("h2", { textContent: title }), element("table", {}, head.cloneNode(true), ...rows));
  };
  const valued = (r) => Object.fromEntries((r.data.metrics || []).map((m) => [m.key, m.value]));
  const keys = [...new Set(runs.flatMap((r) => (r.data.metrics || []).filter((m) => m.step > 0).map((m) => m.key)))].sort();
  const plots = await Promise.all(keys.slice(0, 40).map(async (key) => chart(key, await histories(ids, key), "")));
  const legend = element("p", { className: "legend" });
  runs.forEach((r, at) => {
    legend.append(element("i", { className: `c${at % COLOURS}` }), r.info.run_name);
  });
  place("content").replaceChildren(element("div", { className: "bartop" }, element("h2", { textContent: `${runs.length} runs compared` })),
    plots.length ? legend : "", element("div", { className: "plots" }, ...plots),
    table("Metrics", valued), table("Params", (r) => named(r.data.params)));
  say(`${runs.length} runs`);
  return runs.some((r) => r.info.status === "RUNNING");
}

// Where the address says

let everywhere = [];

async function experiments() {
  const { experiments: found = [] } = await tracked("/experiments/search", { max_results: 1000 });
  const before = everywhere.join();
  everywhere = found.map((e) => e.experiment_id);
  if (before === everywhere.join()) return;
  const options = found.map((e) => element("option", { value: e.experiment_id, textContent: e.name }));
  place("experiment").replaceChildren(element("option", { value: "", textContent: "all experiments" }), ...options);
}

async function show() {
  clearTimeout(timer);
  let again = true;
  try {
    const path = location.hash.replace(/^#\/?/, "");
    const run = path.match(/(?:^|\/)runs\/([0-9a-f]{32})/);
    const several = path.match(/^compare\/([0-9a-f,]+)$/);
    const experiment = path.match(/^experiments\/([0-9a-f]+)$/);
    if (!run && !several) await experiments();
    if (!run && !several) place("experiment").value = experiment ? experiment[1] : "";
    place("search").hidden = Boolean(run || several);
    if (run) again = await detail(run[1]);
    else if (several) again = await compare(several[1].split(",").slice(0, 12));
    else await list();
    place("trouble").textContent = "";
  } catch (error) {
    place("trouble").textContent = error.message;
    const alone = place("search").hidden;
    say(error instanceof TypeError ? "no answer" : alone ? "not found" : "refused", false);
    if (alone && !(error instanceof TypeError)) place("content").replaceChildren();
  }
  if (again) timer = setTimeout(show, PAUSE);
}

place("form").onsubmit = (event) => {
  event.preventDefault();
  asked = { filter: place("filter").value, order: place("order").value };
  show();
};
place("experiment").onchange = () => {
  const { value } = place("experiment");
  location.hash = value ? `experiments/${value}` : "";
};
window.onhashchange = show;
show();
