"use strict";
// Charts: drawn when they come into view, of the experiments that the table shows.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = { width: 680, height: 340 };
  // Each colour of the light page, as it is on the dark one.
  const DARK = {
    "#0072b2": "#56a8e0", "#d55e00": "#f28a4b", "#009e73": "#3cc79c", "#cc79a7": "#e6a3c8",
    "#e69f00": "#f3bd4d", "#56b4e9": "#9ad3f5", "#6a51a3": "#b29ddd", "#5c5c5c": "#b4b4b4",
  };
  const drawn = new Map();

  const onPaper = () => document.documentElement.classList.contains("paper");
  const onDark = () => dark.matches && !onPaper();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The same value with the colours of the dark page.
  function recoloured(value) {
    if (typeof value === "string") return DARK[value] || value;
    if (Array.isArray(value)) return value.map(recoloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, recoloured(one)]));
  }

  // A trace with the points of these experiments alone.
  function kept(trace, shown) {
    const rows = trace.meta && trace.meta.rows;
    if (!rows || !shown) return trace;
    if (!Array.isArray(rows)) return shown.has(rows) ? trace : null;
    const places = rows.map((_, k) => k).filter((k) => shown.has(rows[k]));
    if (!places.length) return null;
    const pick = (value) => {
      if (Array.isArray(value)) return value.length === rows.length ? places.map((k) => value[k]) : value;
      if (value === null || typeof value !== "object") return value;
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, pick(one)]));
    };
    return pick(trace);
  }

  // Of all that are shown the first so many, where a chart bears no more: experiments,
  // or whole series.
  function among(chart) {
    if (!chart.most) return lem.shown;
    const rows = new Set();
    const series = new Set();
    for (const trace of chart.data) {
      const there = [].concat(trace.meta ? trace.meta.rows : []).filter((row) => !lem.shown || lem.shown.has(row));
      if (chart.by_series && there.length && (series.size < chart.most || series.has(trace.legendgroup))) {
        series.add(trace.legendgroup);
        there.forEach((row) => rows.add(row));
      }
      if (chart.by_series) continue;
      for (const row of there) if (rows.size < chart.most) rows.add(row);
    }
    return rows;
  }

  // As high as its categories need.
  function height(plot, chart, data) {
    if (!chart.row_px) return;
    const lines = new Set(data.flatMap((trace) => trace.y)).size;
    plot.style.height = `${Math.max(lines, 2) * chart.row_px + 130}px`;
  }

  function layout(chart) {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line") };
    const made = { ...chart.layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
    made.font = { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") };
    made.hoverlabel = { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--ink") } };
    for (const key of Object.keys(made).filter((one) => /^[xy]axis/.test(one))) {
      made[key] = { ...axis, ...made[key] };
    }
    if (onPaper()) return { ...PAPER, ...made };
    return onDark() ? recoloured(made) : made;
  }

  function figure(chart) {
    const shown = among(chart);
    const data = chart.data.map((trace) => kept(trace, shown)).filter(Boolean);
    return { data: onDark() ? recoloured(data) : data, layout: layout(chart) };
  }

  function draw(place, chart) {
    const plot = place.querySelector(".plot");
    const { data, layout: look } = figure(chart);
    const first = !drawn.has(place);
    drawn.set(place, chart);
    height(plot, chart, data);
    Plotly.react(plot, data, look, { responsive: true, displayModeBar: false });
    if (!first) return;
    plot.on("plotly_click", (event) => {
      const { pointNumber, data: trace } = event.points[0];
      const rows = trace.meta && trace.meta.rows;
      const row = Array.isArray(rows) ? rows[pointNumber] : rows;
      if (row !== undefined && lem.data.anchors) location.hash = lem.data.anchors[row];
    });
  }

  function picture(chart, format, width, height) {
    const white = { paper_bgcolor: onDark() ? colour("--paper") : "#ffffff" };
    const { data, layout: look } = figure(chart);
    const titled = { ...look, ...white, title: { text: chart.title, x: 0.02 } };
    titled.margin = { ...look.margin, t: 56 };
    const whole = { data, layout: titled };
    Plotly.downloadImage(whole, { format, filename: chart.key, width, height, scale: format === "png" ? 2 : 1 });
  }

  // Also charts of details, which come later.
  lem.chart = (place, chart) => {
    place.querySelectorAll("[data-save]").forEach((button) => {
      button.addEventListener("click", () => {
        const { offsetWidth, offsetHeight } = place.querySelector(".plot");
        if (button.dataset.save === "csv") {
          lem.save(lem.csv(chart.columns, chart.rows), "text/csv;charset=utf-8", `${chart.key}.csv`);
        } else {
          picture(chart, button.dataset.save, Math.max(offsetWidth, 640), Math.max(offsetHeight, 400));
        }
      });
    });
    const data = place.querySelector("details.data");
    data.addEventListener("toggle", () => {
      const inside = data.querySelector(".scroll");
      if (data.open && !inside.firstChild) inside.append(lem.table(chart.columns, chart.rows));
    });
    waiting.set(place, chart);
    inView.observe(place);
  };

  const waiting = new Map();
  const inView = new IntersectionObserver(
    (entries) => entries.filter((one) => one.isIntersecting).forEach((one) => begin(one.target)),
    { rootMargin: "400px 0px" },
  );

  async function begin(place) {
    inView.unobserve(place);
    const chart = waiting.get(place);
    if (!waiting.delete(place)) return;
    if (!window.Plotly) await lem.plotly();
    if (place.isConnected) draw(place, chart);
  }

  function again() {
    for (const [place, chart] of drawn) {
      if (place.isConnected) draw(place, chart);
      else drawn.delete(place);
    }
  }

  dark.addEventListener("change", again);
  document.addEventListener("lem:shown", () => {
    const of = document.getElementById("charts-of");
    if (of) of.textContent = lem.shown ? `Of the ${lem.shown.size} experiments that the table shows.` : "";
    again();
  });
  // On paper all is drawn, in the light page's colours and as wide as the paper.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    [...waiting.keys()].forEach(begin);
    again();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    again();
    for (const place of drawn.keys()) Plotly.Plots.resize(place.querySelector(".plot"));
  });

  lem.ready.then(() => {
    const charts = new Map(lem.data.charts.map((one) => [one.key, one]));
    document.querySelectorAll("figure[data-chart]").forEach((place) => {
      const chart = charts.get(place.dataset.chart);
      if (chart) lem.chart(place, chart);
    });
    lem.plotly();
  });
})();
