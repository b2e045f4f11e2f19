// Draws how the evidence of a rollout grew: intervals that hold at every look, and rates.
"use strict";

const NARROW = 360;

// A scale that leaves room for the words at the left and below.
function frame(times, values, height, width) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [Math.min(...times), Math.max(...times)];
  return {
    low, high, width,
    x: (time) => 52 + ((time - first) / (last - first || 1)) * (width - 66),
    y: (value) => height - 26 - ((value - low) / (high - low || 1)) * (height - 40),
  };
}

function line(points, x, y) {
  return points.map(([time, value], i) => `${i ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

function axes(picture, scale, format, height, looks) {
  for (const value of [scale.low, (scale.low + scale.high) / 2, scale.high]) {
    picture.append(drawn("text", { x: 2, y: scale.y(value) + 4 }, format(value)));
  }
  picture.append(drawn("text", { x: 52, y: height - 6 }, minute(looks[0].time)),
    drawn("text", { x: scale.width - 14, y: height - 6, "text-anchor": "end" }, minute(looks.at(-1).time)));
  looks.forEach((look, i) => {
    if (!i || looks[i - 1].percent === look.percent) return;
    const at = scale.x(Date.parse(look.time));
    picture.append(drawn("line", { class: "step", x1: at, x2: at, y1: 12, y2: height - 26 }), drawn("text", { x: at + 4, y: 22 }, `${figure(look.percent)}%`));
  });
}

// The confidence sequence of the loss: a band that shrinks; the verdict falls when it leaves zero.
function sequence(looks, tolerance) {
  const sure = looks.filter((look) => typeof look.numbers.low === "number");
  if (!sure.length) return element("p", { className: "empty", textContent: "Labels say nothing yet: the interval of the loss is drawn once 30 requests of each version are labelled." });
  const height = 220, wide = roomIn("content", 66);
  const times = sure.map((look) => Date.parse(look.time));
  const limits = [0, ...(typeof tolerance === "number" ? [tolerance] : [])];
  const scale = frame(times, [...sure.flatMap((look) => [look.numbers.low, look.numbers.high]), ...limits], height, wide);
  const picture = drawn("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": "the interval of the difference of losses over time" });
  const upper = sure.map((look) => [Date.parse(look.time), look.numbers.high]);
  const lower = sure.map((look) => [Date.parse(look.time), look.numbers.low]).reverse();
  const middle = sure.map((look) => [Date.parse(look.time), look.numbers.loss_difference]);
  picture.append(drawn("line", { class: "zero", x1: 52, x2: wide - 14, y1: scale.y(0), y2: scale.y(0) }));
  if (limits.length > 1) picture.append(drawn("line", { class: "limit", x1: 52, x2: wide - 14, y1: scale.y(tolerance), y2: scale.y(tolerance) }));
  if (sure.length > 1) picture.append(drawn("path", { class: "band", d: `${line(upper, scale.x, scale.y)}${line(lower, scale.x, scale.y).replace("M", "L")}Z` }));
  else picture.append(drawn("path", { class: "candidate", d: `M${scale.x(times[0])} ${scale.y(sure[0].numbers.low)}V${scale.y(sure[0].numbers.high)}` }));
  picture.append(drawn("path", { class: "candidate", d: line(middle, scale.x, scale.y) }));
  axes(picture, scale, (value) => value.toFixed(3), height, sure);
  const last = sure.at(-1).numbers;
  const words = element("b", { textContent: `${last.loss_difference.toFixed(4)} (${last.low.toFixed(4)} to ${last.high.toFixed(4)}), ${figure(last.labels)} labels` });
  const caption = element("figcaption", {}, element("span", { textContent: "By how much the candidate's loss is larger, valid at every look" }), words);
  return element("figure", { className: "wide" }, caption, picture);
}

// The candidate's rate beside the champion's.
function rates(title, looks, mine, theirs, limit) {
  const known = looks.filter((look) => typeof look.numbers[mine] === "number");
  if (!known.length) return null;
  const height = 150;
  const times = known.map((look) => Date.parse(look.time));
  const values = known.flatMap((look) => [look.numbers[mine], look.numbers[theirs] ?? 0]);
  const scale = frame(times, [0, 0.001, ...values, ...(limit === undefined ? [] : [limit])], height, NARROW);
  const picture = drawn("svg", { viewBox: `0 0 ${NARROW} ${height}`, role: "img", "aria-label": title });
  if (limit !== undefined) picture.append(drawn("line", { class: "limit", x1: 52, x2: NARROW - 14, y1: scale.y(limit), y2: scale.y(limit) }));
  picture.append(drawn("path", { class: "theirs", d: line(known.map((look) => [Date.parse(look.time), look.numbers[theirs] ?? 0]), scale.x, scale.y) }),
    drawn("path", { class: "candidate", d: line(known.map((look) => [Date.parse(look.time), look.numbers[mine]]), scale.x, scale.y) }));
  axes(picture, scale, (value) => `${(100 * value).toFixed(1)}%`, height, known);
  const last = known.at(-1).numbers;
  const words = element("b", { textContent: `${share(last[mine])} against ${share(last[theirs] ?? 0)}` });
  return element("figure", {}, element("figcaption", {}, element("span", { textContent: title }), words), picture);
}

function evidence(rollout, looks) {
  if (!looks.length) return element("p", { className: "empty", textContent: "Nothing has been judged yet: the loop looks at every round." });
  const { policy } = rollout;
  const slow = [...looks].reverse().find((look) => typeof look.numbers.slow_ms === "number");
  const pictures = [
    sequence(looks, policy.tolerance),
    rates("Requests that failed", looks, "error_rate", "champion_error_rate", policy.max_error_rate),
    slow && rates(`Requests over ${figure(slow.numbers.slow_ms)} ms`, looks, "slow_share", "champion_slow_share", 0.01),
  ];
  const key = element("p", { className: "key" }, element("i", { className: "sand" }), `candidate, version ${rollout.candidate.version}`,
    element("i"), `champion, version ${rollout.champion.version}`, element("i", { className: "red" }), "what is allowed");
  return element("div", {}, element("div", { className: "evidence" }, ...pictures.filter(Boolean)), key);
}
