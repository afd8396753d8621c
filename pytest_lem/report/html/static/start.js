"use strict";
// What the other scripts share: the data of the page, and making of elements from text.
const lem = {
  data: null,
  shown: null,

  element(name, text, attributes) {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return made;
  },

  table(columns, rows, caption) {
    const table = lem.element("table");
    if (caption) table.append(lem.element("caption", caption));
    const head = table.createTHead().insertRow();
    columns.forEach((name, k) => {
      const kind = rows.length && typeof rows[0][k] === "number" ? { class: "num" } : {};
      head.append(lem.element("th", name, { scope: "col", ...kind }));
    });
    const body = table.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((value) => {
        const cell = lem.element("td", value === null ? "" : String(value));
        if (typeof value === "number") cell.className = "num";
        line.append(cell);
      });
    }
    return table;
  },

  save(content, type, name) {
    const url = URL.createObjectURL(new Blob([content], { type }));
    const link = lem.element("a", null, { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  },

  // Text that a spreadsheet would run has a quote before it, as in `--lem-csv`.
  csv(columns, rows) {
    const cell = (value) => {
      if (value === null || value === undefined) return "";
      let text = String(value);
      if (typeof value === "string" && /^[=+\-@\t\r\n]/.test(text)) text = `'${text}`;
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  },

  // The library that draws: there already, or packed in this page.
  plotly() {
    const inside = document.getElementById("lem-plotly");
    if (window.Plotly || !inside) return Promise.resolve(window.Plotly);
    lem.loading ||= lem.unpack(inside.textContent).then((text) => {
      document.head.append(lem.element("script", text));
      return window.Plotly;
    });
    return lem.loading;
  },

  async unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  },
};

// Told when the data is there and the document is whole.
lem.ready = (async () => {
  const inside = document.getElementById("lem-data");
  const text = inside.textContent;
  lem.data = "packed" in inside.dataset ? await lem.unpack(text) : JSON.parse(text);
  if (document.readyState === "loading") {
    await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  }
})();
