// Puts the page together: what the server knows and what the reader chose go in, every part draws what concerns it.

import { debounced } from "./data/format.js";
import { makeExperiments } from "./parts/experiments.js";
import { makeFilters } from "./parts/filters.js";
import { makeFronts } from "./figures/fronts.js";
import { makeLegend } from "./figures/legend.js";
import { makeLimits } from "./parts/limits.js";
import { buildModel } from "./data/model.js";
import { makePanel } from "./parts/panel.js";
import { hasSeeds } from "./data/points.js";
import { hasLiterature, literatureFor, sayLiterature } from "./parts/published.js";
import { openSource } from "./data/sources.js";
import { makeStates } from "./parts/states.js";
import { openStore } from "./data/store.js";
import { makeTabs } from "./parts/tabs.js";
import { readView, writeView } from "./data/view.js";

const root = document.documentElement;
let view = readView(location.hash), model = null, frame = null;
const store = openStore(openSource(), schedule);

const states = makeStates(store.retry);
const experiments = makeExperiments((show) => change({ show }));
const filters = makeFilters((column, filter) => {
  const { [column]: _, ...others } = view.filters;
  change({ filters: filter === null ? others : { ...others, [column]: filter } });
}, () => change({ filters: {} }));
const limits = makeLimits((limit, value) => change({ [limit]: value }), () => change({ size: null, synops: null, accuracy: null }), open);
const fronts = makeFronts(open);
const legend = makeLegend();
const act = {
  open,
  details: store.details,
  select: (key) => change({ selected: key, ...(view.trial === null ? {} : { trial: key }) }),
  sort: (column) => change({ sort: { column, down: view.sort.column === column ? !view.sort.down : true } }),
};
const tabs = makeTabs(act, (tab) => change({ tab }));
const panel = makePanel(store, close);
const published = document.getElementById("published"), together = document.getElementById("together");

together.addEventListener("change", () => change({ together: together.checked }));
published.addEventListener("change", () => change({ published: published.checked }));
addEventListener("hashchange", () => {
  view = readView(location.hash);
  schedule();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view.trial !== null) close();
});
root.addEventListener("themechange", schedule);
new ResizeObserver(debounced(schedule, 100)).observe(document.getElementById("main"));

function change(part) {
  view = { ...view, ...part };
  history.replaceState(null, "", writeView(view) || location.pathname);
  schedule();
}

function open(key) {
  change({ trial: key, selected: key });
  render();
  panel.enter();
}

function close() {
  const key = view.trial;
  change({ trial: null });
  render();
  if (!panel.leave()) tabs.focus(key);
}

/** Draws once before the next frame, however much changes until then. */
function schedule() {
  frame ??= requestAnimationFrame(render);
}

/** Changes when all figures have to be drawn in other colours. */
const look = () => getComputedStyle(root).getPropertyValue("--paper");

function render() {
  cancelAnimationFrame(frame);
  frame = null;
  if (view.selected === null && view.trial !== null) view.selected = view.trial;
  model = buildModel(store, view);
  if (store.listed) store.want(model.names);
  states.render(store, model);
  panel.render(model, view, look());
  if (!model.experiments.length && !store.listed) return;
  experiments.render(store, model);
  filters.render(model, view);
  limits.render(model, view);
  const wanted = view.published ?? store.connection === "file", literature = literatureFor(model, wanted);
  together.checked = model.together;
  together.parentElement.hidden = !hasSeeds(model.experiments);
  published.checked = wanted;
  published.parentElement.hidden = !hasLiterature(model);
  sayLiterature(model, literature, wanted);
  legend.render(model, literature, look());
  tabs.render(model, view, look());
  if (model.experiments.length) fronts.render(model, view, literature, look());
}

schedule();
