// Endpoints: which versions answer, how a rollout fares, what shadows say, and what was decided;
// and two buttons, which first show what they will change.
"use strict";

const PAUSE = 2500;
const TONE = { rollback: "bad", "rolled-back": "bad", promoted: "good", promote: "good", advance: "good", superseded: "warn" };
let timer = 0;

const cell = (content, number = false) => element("td", { className: number ? "number" : "" }, content);
const version = (part) => element("a", { textContent: `${part.model}@${part.version}`, href: `/page/models.html#${encodeURIComponent(part.model)}/${part.version}` });

// All endpoints

async function list() {
  const deployments = await operation("endpoints");
  const rows = deployments.map((d) => row([
    cell(element("a", { textContent: d.endpoint, href: `#${encodeURIComponent(d.endpoint)}` })), cell(version(d.champion)),
    d.canary ? `version ${d.canary.version} at ${figure(d.canary_percent)}%` : d.split.length ? `split in ${d.split.length + 1}` : "–",
    d.shadows.map((s) => s.target.version).join(", ") || "–", minute(d.changed),
  ]));
  const none = element("p", { className: "empty", textContent: "Nothing is deployed yet: start with `tidemill run`, or `tidemill deploy MODEL@VERSION`." });
  place("content").replaceChildren(element("div", { className: "bartop" }, element("h2", { textContent: "Endpoints" })),
    rows.length ? element("div", { className: "scroll" }, element("table", {}, heads(["endpoint", "live", "on trial", "shadows", "changed"]), ...rows)) : none);
  say(`${deployments.length} ${deployments.length === 1 ? "endpoint" : "endpoints"}`);
}

// One endpoint

function bar(parts) {
  const made = element("div", { className: "bar" });
  for (const part of parts.filter((p) => p.percent > 0)) {
    const span = element("span", { className: part.role, textContent: `version ${part.version} · ${figure(part.percent)}%`, title: part.role });
    span.style.flexGrow = part.percent;
    made.append(span);
  }
  return made;
}

function table(parts) {
  const rows = parts.map((p) => row([cell(version(p)), cell(element("span", { className: `role ${p.role}`, textContent: p.role })),
    cell(p.percent > 0 ? `${figure(p.percent)}%` : "–", true), ROLES[p.role]]));
  return element("table", {}, heads(["version", "role", "share", ""], (at) => (at === 2 ? { className: "number" } : {})), ...rows);
}

const ROLES = {
  champion: "answers what is left", canary: "on trial: its share grows as the evidence allows", split: "answers a fixed share, sticky by key",
  shadow: "sees every request and answers none", standby: "answered before; kept warm for going back",
};

function ways(view) {
  const { deployment, rollout } = view;
  const made = element("div", { className: "ways" });
  const tried = deployment.canary || (deployment.split[0] || {}).target;
  if (tried) {
    const promote = element("button", { id: "promote", textContent: `Promote version ${tried.version}` });
    promote.onclick = () => ask("promote", { ref: `model:${tried.model}@${tried.version}`, endpoint: deployment.endpoint }, "Promote");
    made.append(promote);
  }
  const back = element("button", { id: "rollback", className: "danger", textContent: "Roll back" });
  back.disabled = !tried && !deployment.history.length;
  back.title = back.disabled ? "There is no earlier version." : "";
  back.onclick = () => ask("rollback", { endpoint: deployment.endpoint }, "Roll back");
  made.append(back);
  return made;
}

// A button first shows its plan; only the plan's own button changes anything.
async function ask(verb, values, title) {
  try {
    const plan = await operation(`${verb}_plan`, values);
    const go = element("button", { id: "go", textContent: title, className: verb === "rollback" ? "danger" : "" });
    const stay = element("button", { id: "stay", textContent: "Leave it", className: "plain" });
    const side = (words, parts) => element("div", {}, element("h2", { textContent: words }), bar(parts));
    place("plan").replaceChildren(element("p", { textContent: plan.sentence }),
      element("div", { className: "sides" }, side("now", plan.before), side("then", plan.after)), element("div", { className: "ways" }, stay, go));
    place("plan").hidden = false;
    stay.onclick = () => { place("plan").hidden = true; };
    go.onclick = async () => {
      go.disabled = true;
      try {
        await change(verb, values);
        place("plan").hidden = true;
        place("trouble").textContent = "";
      } catch (error) {
        place("trouble").textContent = error.message;
        place("plan").hidden = true;
      }
      await show();
    };
    stay.focus();
  } catch (error) {
    place("trouble").textContent = error.message;
  }
}

function trial(view) {
  const { rollout, looks } = view;
  if (!rollout) return element("div", {}, element("h2", { textContent: "Rollout" }), element("p", { className: "empty", textContent: "None yet: begin one with `tidemill deploy MODEL@VERSION --canary`." }));
  const running = rollout.status === "running";
  const where = running ? `step ${rollout.step + 1} of ${rollout.policy.steps.length}, ${figure(rollout.policy.steps[rollout.step])}% since ${minute(rollout.step_started)}` : rollout.status;
  const last = [...view.facts].find((f) => f.type === "rollout.judged" && f.data.rollout === rollout.id);
  const said = running && last ? last.data.reason : rollout.reason;
  const text = element("p", { className: "verdict" }, element("b", { textContent: `Version ${rollout.candidate.version} against ${rollout.champion.version}: ${where}. ` }), said);
  const findings = ((last && last.data.findings) || []).map((f) => element("li", { textContent: f }));
  return element("div", {}, element("h2", { textContent: running ? "The rollout" : "The last rollout" }), text,
    findings.length ? element("ul", { className: "findings" }, ...findings) : "", evidence(rollout, looks));
}

const ends = (interval, format) => (interval ? `${format(interval[0])} to ${format(interval[1])}` : "too few to say");

function shadow(report) {
  const signed = (value) => (value > 0 ? "+" : "") + figure(value);
  const tiles = element("dl", { className: "tiles" });
  tiles.append(tile("compared", report.rows.toLocaleString("en"), `rows in ${report.requests.toLocaleString("en")} requests; failed at ${report.failed}`),
    tile("agreement", share(report.agreement), ends(report.agreement_interval, share)),
    tile("mean difference", signed(report.mean_difference), ends(report.difference_interval, signed)),
    tile("largest difference", figure(report.largest_difference)),
    tile("99 of 100 within", `${report.p99_ms.toFixed(1)} ms`, `the champion ${report.champion_p99_ms.toFixed(1)} ms`));
  if (report.loss_difference !== null) tiles.append(tile("loss, where labelled", signed(report.loss_difference), ends(report.loss_interval, signed)));
  const rows = report.examples.slice(0, 10).map((e) => row([cell(element("code", { textContent: e.prediction })), e.said, e.mirrored_said, cell(signed(e.difference), true)]));
  const differ = rows.length ? element("div", { className: "scroll" }, element("table", {}, heads(["where they differ most", "answered", "shadow", "difference"], (at) => (at === 3 ? { className: "number" } : {})), ...rows)) : "";
  return element("div", {}, element("h2", { textContent: `Shadow: version ${report.version}, since ${minute(report.since)}` }), tiles, differ);
}

function happened(fact) {
  const { data } = fact;
  const kinds = {
    "endpoint.deployed": () => `version ${data.version} live`,
    "endpoint.traffic": () => "traffic",
    "rollout.moved": () => `version ${data.version}: ${data.status}${data.status === "running" ? ` at ${figure(data.percent)}%` : ""}`,
    "rollout.judged": () => `verdict on version ${data.version}: ${data.action}`,
    "shadow.compared": () => `shadow ${data.version}`,
  };
  const text = data.reason || `${share(data.agreement)} of the answers agree after ${data.requests.toLocaleString("en")} requests.`;
  const numbers = Object.entries(data.numbers || {}).map(([key, value]) => `${key} ${figure(value)}`).join(" · ");
  const made = element("li", { className: TONE[data.action] || TONE[data.status] || (fact.type === "endpoint.deployed" ? "good" : "") },
    element("time", { textContent: minute(fact.time) }), element("span", { className: "kind", textContent: kinds[fact.type]() }),
    worded("p", text));
  if (numbers) made.append(element("p", { className: "numbers", textContent: numbers }));
  made.append(element("p", { className: "result", textContent: fact.actor }));
  return made;
}

async function one(name) {
  const view = await operation("endpoint", { endpoint: name });
  const past = view.facts.map(happened);
  const top = element("div", { className: "bartop" }, element("h2", { textContent: name }),
    element("span", { textContent: `changed ${minute(view.deployment.changed)}` }), ways(view));
  place("content").replaceChildren(top,
    element("div", {}, bar(view.parts), element("div", { className: "scroll" }, table(view.parts))),
    trial(view), ...view.shadows.map(shadow),
    element("div", {}, element("h2", { textContent: "What was changed and judged, and why" }), element("ol", { className: "line" }, ...past)));
  say(view.rollout && view.rollout.status === "running" ? "rolling out" : "calm");
}

// Where the address says

async function show() {
  clearTimeout(timer);
  try {
    const name = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
    if (name) await one(name);
    else await list();
    place("trouble").textContent = "";
  } catch (error) {
    place("trouble").textContent = error.message;
    if (error instanceof TypeError) say("no answer", false);
  }
  timer = setTimeout(show, PAUSE);
}

window.onhashchange = () => { place("plan").hidden = true; show(); };
show();
