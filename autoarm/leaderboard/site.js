"use strict";

// Tables are complete as they come; this sorts and filters what is there.

const number = (cell) => {
  const value = cell.dataset.value ?? cell.textContent.trim();
  return value !== "" && !Number.isNaN(Number(value)) ? Number(value) : value;
};

function compareCells(one, other) {
  const [a, b] = [number(one), number(other)];
  return typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true, sensitivity: "base" });
}

function sortBy(table, header) {
  const column = header.cellIndex;
  const before = header.getAttribute("aria-sort");
  const flipped = { ascending: "descending", descending: "ascending" };
  const order = flipped[before] ?? header.querySelector("button").dataset.first;
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => sign * compareCells(one.cells[column], other.cells[column]));
  body.append(...rows);
  for (const each of table.tHead.rows[0].cells) each.setAttribute("aria-sort", each === header ? order : "none");
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("button")?.closest("th");
    if (header) sortBy(table, header);
  });
}

for (const board of document.querySelectorAll(".board")) {
  const filters = board.querySelector(".filters");
  const rows = [...board.querySelectorAll("tbody tr")];
  const total = board.querySelectorAll(".ranking tbody tr").length;
  const filter = () => {
    const chosen = (name, value) =>
      filters.querySelector(`input[name=${name}]`) === null ||
      filters.querySelector(`input[name=${name}][value="${value}"]:checked`) !== null;
    const words = filters.querySelector("input[name=name]").value.trim().toLowerCase();
    for (const row of rows) {
      const named = row.dataset.name.toLowerCase().includes(words);
      row.hidden = !(named && chosen("role", row.dataset.role) && chosen("track", row.dataset.track));
    }
    const shown = board.querySelectorAll(".ranking tbody tr:not([hidden])").length;
    filters.querySelector(".count").textContent = `${shown} of ${total}`;
  };
  filters.addEventListener("input", filter);
  filter(); // browsers restore checkboxes when one comes back
}

function filterByAxis(select, items, after) {
  if (!select) return;
  const filter = () => {
    for (const item of items) {
      const others = select.value !== "" || item.classList.contains("ring"); // a ring is of one axis, or ("") of all
      item.toggleAttribute("hidden", others && item.dataset.axis !== select.value);
    }
    after?.();
  };
  select.addEventListener("change", filter);
  filter();
}

const mapItems = [...document.querySelectorAll(".map [data-axis]")];
filterByAxis(document.querySelector(".map-axis"), mapItems, () => {
  let [successes, episodes] = [0, 0];
  for (const item of mapItems.filter((each) => !each.hasAttribute("hidden"))) {
    successes += Number(item.dataset.successes ?? item.classList.contains("success"));
    episodes += Number(item.dataset.episodes ?? 1);
  }
  document.querySelector(".map-count").textContent = `${successes} of ${episodes} in the box`;
});

filterByAxis(document.querySelector(".video-axis"), document.querySelectorAll(".videos [data-axis]"), () => {
  for (const video of document.querySelectorAll(".videos [hidden] video")) video.pause();
});
