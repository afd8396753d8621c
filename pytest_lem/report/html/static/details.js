"use strict";
// One experiment: its sections, made when somebody follows a link to it.
(() => {
  const part = document.getElementById("details");
  if (!part) return;
  const heading = document.getElementById("details-heading");
  const sections = document.getElementById("sections");
  let open = null;

  // One of several values that were packed place by place.
  function picked(part, k) {
    if (Array.isArray(part)) return part[k];
    if ("=" in part) return part["="];
    if ("l" in part) return part.l.map((one) => picked(one, k));
    return Object.fromEntries(part.k.map((key, place) => [key, picked(part.v[place], k)]));
  }

  async function read(anchor) {
    for (const inside of document.querySelectorAll("script[data-of]")) {
      const place = inside.dataset.of.split(" ").indexOf(anchor);
      if (place >= 0) return picked(await lem.unpack(inside.textContent), place);
    }
    throw new Error(`nothing is packed of ${anchor}`);
  }

  function facts(pairs) {
    const list = lem.element("dl", null, { class: "facts" });
    for (const [name, value] of pairs) {
      const line = lem.element("div");
      line.append(lem.element("dt", name), lem.element("dd", value === null ? "unknown" : value));
      list.append(line);
    }
    return list;
  }

  function figure(chart) {
    if (chart.missing) return lem.element("p", chart.missing, { class: "hint" });
    const made = lem.element("figure", null, { class: "chart wide", "aria-label": chart.title });
    const head = lem.element("div", null, { class: "chart-head" });
    const buttons = lem.element("div", null, { class: "buttons" });
    for (const kind of ["svg", "png", "csv"]) {
      const label = `Save “${chart.title}” as ${kind.toUpperCase()}`;
      buttons.append(lem.element("button", kind.toUpperCase(), { type: "button", "data-save": kind, "aria-label": label }));
    }
    head.append(lem.element("h4", chart.title), buttons);
    const data = lem.element("details", null, { class: "data" });
    const label = `Data of “${chart.title}”`;
    const inside = lem.element("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
    data.append(lem.element("summary", "Data of this chart"), inside);
    const plot = lem.element("div", null, { class: "plot", role: "img", "aria-label": chart.told });
    made.append(head, plot, lem.element("figcaption", chart.told), data);
    return made;
  }

  function table(told) {
    const made = lem.element("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": told.told });
    made.append(lem.table(told.columns, told.rows, told.told));
    return made;
  }

  // A long table, which is made when somebody opens it.
  function folded(told) {
    const made = lem.element("details");
    made.append(lem.element("summary", `${told.told}: ${told.rows.length} rows`));
    made.addEventListener("toggle", () => {
      if (!made.querySelector("table")) made.append(table(told));
    });
    return made;
  }

  function section(told) {
    const made = lem.element("section", null, { "aria-label": told.title });
    made.append(lem.element("h3", told.title));
    if (told.told) made.append(lem.element("p", told.told, { class: "hint" }));
    if (told.missing) made.append(lem.element("p", told.missing, { class: "hint" }));
    if (told.facts.length) made.append(facts(told.facts));
    made.append(...told.tables.map((one) => (one.folded ? folded(one) : table(one))));
    const charts = told.charts.map((chart) => [figure(chart), chart]);
    made.append(...charts.map(([place]) => place));
    return [made, charts.filter(([, chart]) => !chart.missing)];
  }

  // What is longer is saved, since no reader and not every browser gets to its end.
  const MOST = 200000;

  function raw(told) {
    const made = lem.element("section", null, { "aria-label": "Record" });
    const head = lem.element("div", null, { class: "chart-head" });
    const button = lem.element("button", "JSON", { type: "button", "aria-label": "Save the record as JSON" });
    const text = () => JSON.stringify(told.record, null, 2);
    button.disabled = !told.record;
    button.addEventListener("click", () => lem.save(text(), "application/json", `${told.anchor}.json`));
    const buttons = lem.element("div", null, { class: "buttons" });
    buttons.append(button);
    head.append(lem.element("h3", "Record"), buttons);
    const inside = lem.element("details");
    inside.append(lem.element("summary", "The record, as JSON"));
    inside.addEventListener("toggle", () => {
      if (inside.querySelector("pre")) return;
      const whole = text();
      inside.append(lem.element("pre", whole.slice(0, MOST), { tabindex: "0" }));
      if (whole.length > MOST) inside.append(lem.element("p", "That is its beginning: save it to have all.", { class: "hint" }));
    });
    made.append(head);
    if (told.digits) made.append(lem.element("p", `Numbers have ${told.digits} digits on this page, which is of many experiments.`, { class: "hint" }));
    if (told.record) made.append(inside);
    else made.append(lem.element("p", "Left out of this page, which is of too many experiments; the report has it.", { class: "hint" }));
    return made;
  }

  function row(anchor) {
    const found = anchor && document.getElementById(anchor);
    return found && found.closest("#table") ? found : null;
  }

  async function show() {
    const anchor = decodeURIComponent(location.hash.slice(1));
    if (anchor === open) return;
    document.querySelectorAll('tr[aria-current="true"]').forEach((one) => one.removeAttribute("aria-current"));
    if (!row(anchor)) {
      if (!anchor || open === null) close();
      return;
    }
    open = anchor;
    row(anchor).setAttribute("aria-current", "true");
    const told = await read(anchor);
    if (open !== anchor) return;
    const made = told.sections.map(section);
    heading.textContent = told.name;
    sections.replaceChildren(...made.map(([one]) => one), raw(told));
    part.hidden = false;
    made.forEach(([, charts]) => charts.forEach(([place, chart]) => lem.chart(place, chart)));
    heading.focus({ preventScroll: true });
    part.scrollIntoView();
  }

  function close() {
    open = null;
    part.hidden = true;
    sections.replaceChildren();
  }

  // The next of the rows that are shown, in the order in which they are.
  function step(by) {
    const rows = [...document.querySelectorAll("#table tbody tr")].filter((one) => !one.hidden);
    const next = rows[rows.findIndex((one) => one.id === open) + by];
    if (next) location.hash = next.id;
  }

  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("close").addEventListener("click", () => {
    const link = row(open) && row(open).querySelector("a");
    close();
    history.replaceState(null, "", "#experiments");
    document.querySelectorAll('tr[aria-current="true"]').forEach((one) => one.removeAttribute("aria-current"));
    if (link) link.focus();
  });
  addEventListener("hashchange", show);
  lem.ready.then(show);
})();
