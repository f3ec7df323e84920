// What is said where there is nothing to draw, or something is wrong: what it is and what to do.

import { element } from "../data/format.js";

/** @param {() => void} retry */
export function makeStates(retry) {
  const connection = document.getElementById("connection"), problem = document.getElementById("problem");
  const nothing = document.getElementById("nothing"), content = document.getElementById("content");
  const main = document.getElementById("main");
  let said = "", told = "";

  function render(store, model) {
    connection.dataset.state = store.connection;
    connection.hidden = store.connection === "file";
    connection.textContent = { live: "live", connecting: "connecting", lost: "connection lost, trying again", file: "" }[store.connection];
    const lines = problemsOf(store, model);
    problem.hidden = lines.length === 0;
    if (lines.join("\n") !== said) {
      said = lines.join("\n");
      const again = element("button", { type: "button", className: "plain", textContent: "Try again" });
      again.addEventListener("click", retry);
      problem.replaceChildren(element("div", {}, ...lines.map((line) => element("p", { textContent: line }))), again);
    }
    const loaded = model.experiments.length > 0, waiting = model.names.some((n) => !store.loaded.has(n) && !store.failures.has(n));
    const empty = store.listed && store.experiments.size === 0;
    content.hidden = store.experiments.size === 0;
    main.setAttribute("aria-busy", String(!store.listed || (waiting && !loaded)));
    nothing.hidden = !empty;
    const tell = empty ? "empty" : "";
    if (tell === told) return;
    told = tell;
    nothing.replaceChildren(...(empty ? emptyText() : []));
  }
  return { render };
}

function problemsOf(store, model) {
  const lines = [];
  if (store.connection === "lost")
    lines.push("The dashboard's server does not answer. What is shown is as it was; the page goes on by itself once " +
      "pareto.py serve runs again.");
  if (store.problem && store.connection !== "lost") lines.push(`The storage cannot be read now: ${store.problem}`);
  for (const name of model.names) {
    if (store.failures.has(name) && store.connection !== "lost") lines.push(`${name}: ${store.failures.get(name)}`);
    const error = store.loaded.get(name)?.error;
    if (error) lines.push(`${name}: ${error}. What can be read is shown.`);
  }
  return lines;
}

const emptyText = () => [
  element("h2", { textContent: "No experiment yet" }),
  element("p", { textContent: "This page shows the experiments in the storage it was started with, and there is none so far. Start one there:" }),
  element("pre", { textContent: "python tune/pareto.py --storage STORAGE --name digits" }),
  element("p", { textContent: "It takes a few minutes on one machine. This page shows its first points as they come; it need not be reloaded." }),
];
