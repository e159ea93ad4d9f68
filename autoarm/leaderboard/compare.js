"use strict";

// Every number was computed when the site was built; this shows those of the two policies that are chosen.

const data = JSON.parse(document.getElementById("data").textContent);
const first = document.getElementById("first");
const second = document.getElementById("second");
const table = document.getElementById("comparison");
const verdict = document.getElementById("verdict");

const signed = (share) => {
  const points = (100 * share).toFixed(1);
  return Number(points) > 0 ? `+${points}` : points.replace("-", "−").replace("−0.0", "0.0");
};
const percent = (share) => `${Math.round(100 * share)} %`;
const pValue = (p) => (p < 0.001 ? "< 0.001" : p.toFixed(p < 0.01 ? 3 : 2));

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function cell(content, tag = "td", kind = "", label = "") {
  const node = document.createElement(tag);
  if (label) node.dataset.label = label; // where there is no room for headings
  if (tag === "th") node.scope = "row";
  if (kind) node.className = kind;
  node.append(content);
  return node;
}

// A difference with its interval on a scale from -100 to +100 points.
function bar([estimate, low, high], label) {
  const x = (share) => 90 + 84 * share;
  const grid = [-1, -0.5, 0, 0.5, 1].map((share) =>
    svg("line", { x1: x(share), x2: x(share), y1: 2, y2: 18, class: share === 0 ? "zero" : "grid" }));
  return svg("svg", { viewBox: "0 0 180 20", class: "score role-policy", role: "img", "aria-label": label },
    ...grid,
    svg("line", { x1: x(low), x2: x(high), y1: 10, y2: 10, class: "whisker" }),
    svg("circle", { cx: x(estimate), cy: 10, r: 3, class: "dot" }));
}

// The pair as stored has the better policy first; the other way round, signs and columns change places.
function lookUp(i, j) {
  const found = data.pairs[i < j ? `${i},${j}` : `${j},${i}`];
  if (!found || i < j) return found;
  const flip = ([estimate, low, high]) => [-estimate, -high, -low];
  const [overall, axes] = found;
  return [flip(overall), axes.map(([axis, n, both, one, two, estimate, low, high, p, holm]) =>
    [axis, n, both, two, one, ...flip([estimate, low, high]), p, holm])];
}

function say([estimate, low, high], one, two, shared) {
  const size = `${signed(estimate)} points (95 % interval ${signed(low)} to ${signed(high)})`;
  const over = `over ${shared} shared episodes`;
  if (low > 0) return `${one} is ahead of ${two}: ${size} ${over}.`;
  if (high < 0) return `${one} is behind ${two}: ${size} ${over}.`;
  return `No difference between ${one} and ${two} is shown: ${size} ${over}.`;
}

function show() {
  const [i, j] = [first.selectedIndex, second.selectedIndex];
  const [one, two] = [data.policies[i], data.policies[j]];
  const words = new URLSearchParams({ a: one.name, b: two.name });
  history.replaceState(null, "", `#${words}`);
  const found = i === j ? undefined : lookUp(i, j);
  table.hidden = !found;
  if (!found) {
    verdict.textContent = i === j ? "Choose two different policies." : "These two share no episodes.";
    return;
  }
  const [overall, axes] = found;
  const sum = (column) => axes.reduce((total, axis) => total + axis[column], 0);
  verdict.textContent = say(overall, one.name, two.name, sum(1));
  for (const [id, policy] of [["rate-first", one], ["rate-second", two]]) {
    const link = document.createElement("a");
    link.href = `policies/${encodeURIComponent(policy.slug)}.html`;
    link.textContent = policy.name;
    document.getElementById(id).replaceChildren(link);
  }
  const mean = (column) => axes.reduce((total, axis) => total + (axis[2] + axis[column]) / axis[1], 0) / axes.length;
  const rows = [line("Score", mean(3), mean(4), overall, [sum(3), sum(4)], null)];
  for (const [axis, n, both, only, other, estimate, low, high, p, holm] of axes) {
    rows.push(line(data.axes[axis], (both + only) / n, (both + other) / n, [estimate, low, high], [only, other], [p, holm]));
  }
  table.tBodies[0].replaceChildren(...rows);
}

function line(title, rateOne, rateTwo, difference, only, tests) {
  const row = document.createElement("tr");
  const [estimate, low, high] = difference;
  const clear = tests ? tests[1] < 0.05 : low > 0 || high < 0;
  row.className = clear ? "clear" : "";
  const interval = document.createElement("span");
  interval.className = "interval";
  interval.textContent = `${signed(low)} to ${signed(high)}`;
  const size = document.createDocumentFragment();
  size.append(signed(estimate), interval);
  row.append(
    cell(title, "th"),
    cell(percent(rateOne), "td", "small", "first"),
    cell(percent(rateTwo), "td", "small", "second"),
    cell(bar(difference, `${title}: ${signed(estimate)} points`), "td", "bar"),
    cell(size, "td", "difference"),
    cell(`${only[0]} / ${only[1]}`, "td", "small", "only one"),
    cell(tests ? pValue(tests[0]) : "", "td", "wide"),
    cell(tests ? pValue(tests[1]) : "", "td", "small", tests ? "p (Holm)" : ""));
  return row;
}

function choose() {
  const words = new URLSearchParams(location.hash.slice(1));
  const place = (name, otherwise) => {
    const found = data.policies.findIndex((policy) => policy.name === words.get(name));
    return found < 0 ? otherwise : found;
  };
  // By default the two best that compete.
  const competing = data.policies.flatMap((policy, index) => (policy.role === "policy" ? [index] : []));
  const rest = data.policies.map((_, index) => index).filter((index) => !competing.includes(index));
  const [a, b] = [...competing, ...rest, 0];
  first.selectedIndex = place("a", a);
  second.selectedIndex = place("b", b);
  show();
}

for (const select of [first, second]) {
  for (const policy of data.policies) {
    const label = policy.role === "policy" ? policy.name : `${policy.name} (${policy.role})`;
    select.add(new Option(label, policy.name));
  }
  select.addEventListener("change", show);
}
document.getElementById("swap").addEventListener("click", () => {
  [first.selectedIndex, second.selectedIndex] = [second.selectedIndex, first.selectedIndex];
  show();
});
window.addEventListener("hashchange", choose);
choose();
