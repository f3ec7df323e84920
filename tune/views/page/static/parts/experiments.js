// Which experiments are shown beside each other, and what there is to say of them in a line.

import { element, whole, words } from "../data/format.js";
import { slot } from "../data/model.js";

/** @param {(names: string[]) => void} choose */
export function makeExperiments(choose) {
  const place = document.getElementById("experiments"), summary = document.getElementById("summary");
  let built = "";

  function render(store, model) {
    place.hidden = store.connection === "file"; // it holds one
    const names = [...store.experiments.keys()].sort();
    if (built !== JSON.stringify(names)) {
      built = JSON.stringify(names);
      place.replaceChildren(...names.map((name) => {
        const box = element("input", { type: "checkbox" });
        box.of = name;
        box.addEventListener("change", () => choose([...place.querySelectorAll("input")].filter((b) => b.checked).map((b) => b.of)));
        return element("label", { className: "chip", "data-experiment": name }, box, element("i", { "aria-hidden": "true" }),
          element("span", { textContent: name }), element("small", {}));
      }));
    }
    for (const chip of place.children) {
      const box = chip.querySelector("input"), shown = model.names.includes(box.of), found = store.experiments.get(box.of);
      box.checked = shown;
      chip.style.setProperty("--own", shown ? `var(--series-${slot(box.of)})` : "transparent");
      chip.classList.toggle("damaged", Boolean(found.error));
      const count = Object.values(found.states).reduce((sum, n) => sum + n, 0);
      chip.querySelector("small").textContent = whole(count);
      chip.title = found.error ?? words(count, "trial");
    }
    summary.textContent = said(model, store);
  }
  return { render };
}

function said(model, store) {
  if (!model.names.length) return "No experiment is chosen.";
  if (!model.experiments.length) return model.names.every((name) => store.failures.has(name)) ? "" : "Loading…";
  const lines = model.experiments.map(({ name, recipe, summary }) =>
    [model.several ? name : "", recipe ? `data ${recipe.dataset}` : "", ...summary].filter(Boolean).join(" · "));
  if (model.rows.length < model.all.length) lines.push(`${whole(model.rows.length)} pass the filters`);
  return lines.join(model.several ? "\n" : " · ").replaceAll(" %", "\u00a0%");
}
