"use strict";
// The table of experiments: sorted by any column, narrowed by text and by facts.
(() => {
  const table = document.getElementById("table");
  const form = document.querySelector(".filters");
  if (!table || !form) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const texts = rows.map((row) => `${row.dataset.text} ${row.textContent.toLowerCase()}`);
  const heads = [...table.tHead.rows[0].cells];

  function key(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.textContent.trim().toLowerCase() || null;
  }

  function compared(one, other) {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    if (typeof one === "number") return one - other;
    return one.localeCompare(other, undefined, { numeric: true });
  }

  function sort(column) {
    const head = heads[column];
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((one) => one.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keys = new Map(rows.map((row) => [row, key(row, column)]));
    const ordered = [...rows].sort((one, other) => {
      const mine = keys.get(one);
      const its = keys.get(other);
      if (mine === null || its === null) return compared(mine, its);
      return (down ? -1 : 1) * compared(mine, its);
    });
    body.append(...ordered);
  }

  function narrow() {
    const words = form.querySelector("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const asked = [...form.querySelectorAll("[data-facet]")].filter((one) => one.value);
    const facets = asked.map((one) => [lem.data.facets[one.dataset.facet], one.value]);
    const shown = new Set();
    rows.forEach((row, k) => {
      const fits =
        words.every((word) => texts[k].includes(word)) &&
        facets.every(([values, value]) => values[k].includes(value));
      row.hidden = !fits;
      if (fits) shown.add(k);
    });
    const all = shown.size === rows.length;
    lem.shown = all ? null : shown;
    const count = `${shown.size} of ${rows.length} experiments`;
    document.getElementById("count").textContent = all ? `${rows.length} experiments` : count;
    document.dispatchEvent(new CustomEvent("lem:shown"));
  }

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sort(column));
  });
  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(narrow, 80);
  });
  form.addEventListener("reset", () => setTimeout(narrow, 0));
  form.addEventListener("submit", (event) => event.preventDefault());
})();
