// The tab with hypervolume over compute: what the front so far dominates, against the epochs that all trials have run.

import { element, general, words } from "../data/format.js";
import { slot } from "../data/model.js";
import { OPTIONS, baseLayout, colour, linkFigure, plotlyReady } from "./paint.js";

export function makeCompute(place, act) {
  const div = element("div", { className: "plot low", id: "hypervolume", role: "img", "aria-label": "Hypervolume of the front over epochs run" });
  const note = element("p", { className: "note" });
  place.append(div, note);
  let linked = false;

  async function render(model) {
    const known = model.experiments.filter(({ progress }) => progress.length);
    div.hidden = known.length === 0;
    note.textContent = known.length === 0 ? "No trial is over yet, or the experiment does not say from where hypervolume is measured." :
      "What the front so far dominates, in accuracy share × decades of size × decades of Bit-SynOps, after each trial that " +
      "raised it; epochs of stopped and failed trials count too. Filters do not apply here." + unknown(model) +
      (known.length > 1 ? " Experiments with different references cannot be compared." : "");
    if (!known.length) return;
    await plotlyReady;
    const traces = known.map(({ name, progress }) => ({
      type: "scatter", mode: "lines+markers", name, hoverinfo: "none",
      x: progress.map(({ epochs }) => epochs), y: progress.map(({ hypervolume }) => hypervolume),
      customdata: progress.map((step) => ({ ...step, experiment: name })),
      line: { color: colour(`series-${slot(name)}`), width: 2, shape: "hv" }, marker: { color: colour(`series-${slot(name)}`), size: 6 },
    }));
    await Plotly.react(div, traces, baseLayout({
      width: div.clientWidth, height: div.clientHeight,
      xaxis: { title: { text: "epochs run by all trials so far" }, rangemode: "tozero" },
      yaxis: { title: { text: "hypervolume" }, rangemode: "tozero" },
    }), OPTIONS);
    if (linked) return;
    linked = true;
    linkFigure(div, ({ customdata: step }) => [
      `hypervolume ${general(step.hypervolume)}`,
      `after ${words(step.epochs, "epoch")}, ${duration(step.seconds)} of trials`,
      ...(step.trial ? [step.trial] : []),
    ], ({ customdata: step }) => step.trial && act.open(`${step.experiment}/${step.trial}`));
    div.on("plotly_doubleclick", () => Plotly.relayout(div, { "xaxis.autorange": true, "yaxis.autorange": true }));
  }
  return { render };
}

function unknown(model) {
  const count = model.all.filter(({ status, ended_at: end }) => status !== "unfinished" && end === null).length;
  return count ? ` ${words(count, "trial")} did not record when they ended and come first.` : "";
}

function duration(seconds) {
  return seconds < 3600 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
