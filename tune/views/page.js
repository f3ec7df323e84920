// Draws the report's figures in the colours of the page, links one network across them, sorts tables.
"use strict";
(() => {
  const { figures, hover, networks } = JSON.parse(document.getElementById("data").textContent);
  const coarse = matchMedia("(pointer: coarse)").matches; // a finger scrolls the page instead of zooming
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const channels = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  const mix = (from, to, share) => `rgb(${channels(from).map((v, k) => v + share * (channels(to)[k] - v))})`;
  const parallel = document.getElementById("parallel");
  const lines = new Map(); // trial -> its place on every axis of the parallel coordinates
  for (const { meta, y, customdata } of figures.parallel?.data ?? [])
    if (meta === "class") customdata.forEach((i, k) => i !== null && lines.set(i, [...(lines.get(i) ?? []), y[k]]));
  let selected = null;

  // Round numbers on a log axis: every power of ten where there are many, finer steps where there are few.
  function logTicks(low, high, most) {
    for (const steps of [[1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]]) {
      const ticks = [];
      for (let d = Math.floor(low); d <= high; d++)
        for (const s of steps) {
          const t = Number(`${s}e${d}`);
          if (Math.log10(t) >= low && Math.log10(t) <= high) ticks.push(t);
        }
      if (ticks.length <= most || steps.length === 1) return ticks;
    }
  }

  function paintTrace(trace) {
    const front = colour("front"), soft = colour("soft"), pale = colour("pale");
    const looks = {
      gap: { line: { color: soft, width: 1 } },
      dominated: { marker: { color: pale, size: Object.keys(networks).length > 500 ? 4 : 7 } },
      elsewhere: { marker: { color: soft, size: 8 } },
      front: { marker: { color: front, size: 9 }, line: { color: front, width: 1.5, shape: "hv" } },
      test: { marker: { color: front, size: 9, symbol: "circle-open", line: { width: 1.5 } } },
      published: { marker: { color: colour("others"), size: 8, symbol: "diamond" } },
      paper: { marker: { color: colour("paper-own"), size: 10, symbol: "diamond" } },
      selected: { marker: { color: colour("selected"), size: 19, symbol: "circle-open", line: { width: 2.5 } } },
      curve: { marker: { color: front, size: 4 }, line: { color: front, width: 2, shape: "hv" } },
      class: { line: { color: mix(pale, front, Number(trace.name)), width: lines.size > 500 ? 0.4 : 1.3 }, opacity: 0.75 },
      kept: { line: { color: front, width: 1.6 } },
      chosen: { line: { color: colour("selected"), width: 3 } },
    };
    const text = trace.type === "scatter" && trace.customdata ? { hovertext: trace.customdata.map((i) => hover[i]) } : {};
    return { ...trace, ...text, ...looks[trace.meta] };
  }

  function paintLayout(layout, div) {
    const veil = `rgba(${channels(colour("paper"))},0.75)`; // lines shine through behind numbers
    const font = { family: "system-ui, sans-serif", size: 13, color: colour("ink") };
    const axis = { gridcolor: colour("rule"), linecolor: colour("muted"), zeroline: false, automargin: true };
    const painted = {
      margin: div === parallel ? { l: 5, r: 10, t: 34, b: 6 } : { l: 56, r: 10, t: 10, b: 46 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font, dragmode: coarse ? false : "zoom",
      hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("muted"), font, align: "left" },
      ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    };
    if (div === parallel) {
      painted.dragmode = coarse ? false : "select";
      painted.xaxis = { ...painted.xaxis, gridcolor: colour("muted"), showline: false };
      painted.annotations = layout.annotations.map((label) => ({ ...label, bgcolor: veil, font: { size: 12 } }));
      painted.newselection = { line: { color: colour("selected"), width: 1.5, dash: "solid" } };
      painted.activeselection = { fillcolor: colour("selected"), opacity: 0.12 };
    }
    return painted;
  }

  // The accuracy axis is the error's in log scale, upside down: its ticks are marked with the accuracy.
  function markTicks(div) {
    const { xaxis, yaxis } = div._fullLayout, { zero } = figures[div.id].layout.meta ?? {};
    if (xaxis?.type !== "log") return;
    const sizes = logTicks(...xaxis.range, Math.max(3, Math.floor(div.clientWidth / 55)));
    const errors = logTicks(yaxis.range[1], yaxis.range[0], 8).filter((error) => error < 100 && !(error < 1.5 * zero));
    if (zero && Math.log10(zero) > yaxis.range[1]) errors.push(zero);
    if (`${xaxis.tickvals} ${yaxis.tickvals}` === `${sizes} ${errors}`) return;
    const shown = (t) => (t >= 1e6 || t < 1e-4 ? t.toExponential() : String(t));
    const accuracy = (error) => (error === zero ? "100" : String(Number((100 - error).toPrecision(6))));
    Plotly.relayout(div, {
      "xaxis.tickvals": sizes, "xaxis.ticktext": sizes.map(shown),
      "yaxis.tickvals": errors, "yaxis.ticktext": errors.map(accuracy),
    });
  }

  const divs = Object.keys(figures).map((id) => document.getElementById(id));
  const options = { displayModeBar: false, displaylogo: false, responsive: true };
  const draw = () => {
    for (const div of divs) {
      const { data, layout } = figures[div.id];
      Plotly.react(div, data.map(paintTrace), paintLayout(layout, div), options).then(() => {
        markTicks(div);
        if (selected !== null) show(div, selected);
      });
    }
  };

  // Rings the network in one figure; in the parallel coordinates all others fade.
  function show(div, i) {
    const traces = figures[div.id].data;
    const ring = traces.findIndex((trace) => trace.meta === "selected");
    if (ring >= 0) {
      const { column, worth } = figures[div.id].layout.meta;
      const [x, y] = i === null ? [[], []] : [[networks[i][column] / worth], [networks[i].error]];
      Plotly.restyle(div, { x: [x], y: [y] }, [ring]);
    }
    if (div === parallel) drawLines("chosen", i === null ? [] : [i]);
  }

  // Puts the lines of these trials into one trace of the parallel coordinates.
  function drawLines(role, trials) {
    const at = figures.parallel.data.findIndex((trace) => trace.meta === role);
    const x = [], y = [], customdata = [];
    for (const i of trials) {
      const places = lines.get(i) ?? [];
      x.push(...places.keys(), null);
      y.push(...places, null);
      customdata.push(...places.map(() => i), null);
    }
    Plotly.restyle(parallel, { x: [x], y: [y], customdata: [customdata], hovertext: [customdata.map((i) => hover[i])] }, [at]);
  }

  // Keeps the lines that pass through every box drawn over an axis.
  function brush() {
    const boxes = (parallel.layout.selections ?? []).map(({ x0, x1, y0, y1 }) => ({
      x: [Math.min(x0, x1), Math.max(x0, x1)], y: [Math.min(y0, y1), Math.max(y0, y1)],
    }));
    const through = (places) =>
      boxes.every(({ x, y }) => places.every((v, axis) => axis < x[0] || axis > x[1] || (v >= y[0] && v <= y[1])));
    const classes = figures.parallel.data.flatMap(({ meta }, k) => (meta === "class" ? [k] : []));
    Plotly.restyle(parallel, { opacity: boxes.length ? 0.12 : 0.75 }, classes);
    drawLines("kept", boxes.length ? [...lines.keys()].filter((i) => through(lines.get(i))) : []);
  }

  function select(i) {
    selected = i === selected ? null : i;
    divs.forEach((div) => show(div, selected));
    for (const element of document.querySelectorAll("[data-trial]"))
      element.classList.toggle("selected", selected !== null && Number(element.dataset.trial) === selected);
  }

  function sort(button) {
    const header = button.closest("th"), body = header.closest("table").tBodies[0];
    const down = header.getAttribute("aria-sort") !== "descending";
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[header.cellIndex].dataset.value ?? row.cells[header.cellIndex].textContent;
    const rows = [...body.rows].map((row) => [value(row), row]);
    const numeric = rows.every(([text]) => text === "" || !Number.isNaN(Number(text)));
    const missing = ([text]) => text === "";
    rows.sort((a, b) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b); // last in both directions
      return (numeric ? a[0] - b[0] : a[0].localeCompare(b[0], "en", { numeric: true })) * (down ? -1 : 1);
    });
    body.append(...rows.map(([, row]) => row));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.closest("th")) sort(button);
    else if (button) select(Number(button.closest("[data-trial]").dataset.trial));
  });
  draw();
  for (const div of divs) {
    div.on("plotly_click", ({ points }) => {
      const i = points?.[0]?.customdata;
      if (i in networks) select(i);
    });
    div.on("plotly_relayout", (change) => {
      if (div === parallel && Object.keys(change).some((key) => key.startsWith("selections"))) brush();
      if (Object.keys(change).some((key) => /^[xy]axis\.(range|auto)/.test(key))) markTicks(div);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("resize", () => divs.forEach(markTicks));
  document.documentElement.dataset.ready = "true";
})();
