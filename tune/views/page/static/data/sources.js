// Where the page's data come from: the dashboard's server, or the file that the page is in. Both answer the same.

const AGAIN_MS = 3000;

/**
 * @returns {{list(): Promise, experiment(name: string): Promise, details(row: object): Promise,
 *   fileOf(row: object, file: string): string | null, follow(listener: object): () => void, live: boolean}}
 */
export function openSource() {
  const inlined = document.getElementById("answers");
  return inlined ? fromFile(JSON.parse(inlined.textContent)) : fromServer();
}

/** One experiment, as it was when the file was written. */
function fromFile({ list, experiment, details }) {
  const missing = "This file holds the cells and learning curves of the front's networks only; python tune/pareto.py serve shows all.";
  return {
    live: false,
    list: async () => list,
    experiment: async () => experiment,
    details: async (row) => {
      if (!Object.hasOwn(details, row.trial)) return { records: [], genotype: null, drawing: null, notes: null, errors: [], missing, trial: row };
      return { ...details[row.trial], trial: row };
    },
    fileOf: () => null,
    follow: () => () => {},
  };
}

function fromServer() {
  const part = (row) => `/api/experiments/${encodeURIComponent(row.experiment)}/trials/${encodeURIComponent(row.trial)}`;
  return {
    live: true,
    list: () => get("/api/experiments"),
    experiment: (name) => get(`/api/experiments/${encodeURIComponent(name)}`),
    details: (row) => get(part(row)),
    fileOf: (row, file) => `${part(row)}/${file}`,
    follow,
  };
}

/**
 * Tells what changes: `connected()`, `lost()`, `changed({experiment, version})`, `storage(error)`; `again()` asks for a new start.
 *
 * @returns what ends it
 */
function follow(listener) {
  const stream = new EventSource("/api/events");
  let timer = null;
  stream.onopen = listener.connected;
  stream.onmessage = ({ data }) => listener.changed(JSON.parse(data));
  stream.addEventListener("storage", ({ data }) => listener.storage(JSON.parse(data).error));
  stream.onerror = () => {
    listener.lost();
    if (stream.readyState === EventSource.CLOSED) timer = setTimeout(listener.again, AGAIN_MS); // refused: the browser gives up
  };
  return () => {
    clearTimeout(timer);
    stream.close();
  };
}

async function get(path) {
  let answer;
  try {
    answer = await fetch(path, { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("the dashboard's server does not answer");
  }
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(typeof said.detail === "string" ? said.detail : `the server answered ${answer.status}`), {
      status: answer.status,
    });
  }
  return answer.json();
}
