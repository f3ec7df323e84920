// Tabs below the fronts. What is in one is made when it is first opened, and drawn only while it is open.

import { element } from "../data/format.js";
import { makeCells } from "./cells.js";
import { makeCompute } from "../figures/compute.js";
import { makeParallel } from "../figures/parallel.js";
import { hasSeeds } from "../data/points.js";
import { hasLiterature, makePublished } from "./published.js";
import { makeSeeds } from "./seeds.js";
import { makeSpace } from "../figures/space.js";
import { makeStopped } from "./stopped.js";
import { makeTrials } from "./trials.js";

const TABS = [ // name, title, what makes it, whether there is anything in it
  ["trials", "Trials", makeTrials],
  ["cells", "Cells", makeCells],
  ["stopped", "Stopped", makeStopped],
  ["seeds", "Seeds", makeSeeds, (model) => hasSeeds(model.experiments)],
  ["published", "Published networks", makePublished, hasLiterature],
  ["hypervolume", "Hypervolume", makeCompute],
  ["parallel", "Parallel coordinates", makeParallel],
  ["space", "3-D", makeSpace],
];

/** @param {(tab: string) => void} choose */
export function makeTabs(act, choose) {
  const list = document.getElementById("tabs"), places = document.getElementById("tab-panels");
  const tabs = TABS.map(([name, title, make, isThere = () => true]) => {
    const button = element("button", {
      type: "button", role: "tab", id: `tab-${name}`, textContent: title, "aria-controls": `part-${name}`, "data-tab": name,
    });
    const place = element("div", { role: "tabpanel", id: `part-${name}`, "aria-labelledby": `tab-${name}`, hidden: true });
    button.addEventListener("click", () => choose(name));
    list.append(button);
    places.append(place);
    return { name, make, isThere, button, place, part: null, drawn: "" };
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const there = tabs.filter(({ button }) => !button.hidden);
    const at = there.findIndex(({ button }) => button === document.activeElement);
    if (!step || at < 0) return;
    const next = there[(at + step + there.length) % there.length];
    choose(next.name);
    next.button.focus();
    event.preventDefault();
  });

  function render(model, view, look) {
    const open = tabs.find(({ name, isThere }) => name === view.tab && isThere(model)) ?? tabs[0];
    for (const tab of tabs) {
      tab.button.setAttribute("aria-selected", String(tab === open));
      tab.button.hidden = !tab.isThere(model);
      tab.button.tabIndex = tab === open ? 0 : -1;
      tab.place.hidden = tab !== open;
    }
    const key = JSON.stringify([model.rowsVersion, model.names, view.sort, view.selected, look, open.place.clientWidth]);
    if (open.drawn === key) return;
    open.part ??= open.make(open.place, act);
    open.drawn = key;
    open.part.render(model, view);
  }

  /** Gives the focus to a trial's row, if the table shows it. */
  function focus(key) {
    const trials = tabs[0];
    if (!trials.place.hidden) trials.part?.focus(key);
  }
  return { render, focus };
}
