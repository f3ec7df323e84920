// What the server knows: the list of experiments, those that are shown, and a stream that says what has changed.

const PAUSE_MS = 150; // a run writes several files at once: they are fetched together
const AGAIN_MS = 3000;

/**
 * @param {() => void} changed called whenever anything below is another than before
 * @returns the store: `experiments` (name → {version, states, error}), `loaded` (name → the experiment with its trials),
 * `failures` (name → why it could not be loaded), `connection` (connecting, live or lost), `listed`, `problem`
 */
export function openStore(changed) {
  const store = {
    experiments: new Map(), loaded: new Map(), failures: new Map(),
    connection: "connecting", listed: false, problem: null,
    want, details, retry,
  };
  let wanted = new Set();
  const versions = new Map(); // the newest that the server has told
  const busy = new Set(), timers = new Map();
  let listTimer = null, reconnect = null;

  /** The experiments that are to be loaded and kept up to date. */
  function want(names) {
    wanted = new Set(names);
    for (const name of wanted) if (!store.loaded.has(name) && !store.failures.has(name)) load(name);
  }

  function retry() {
    store.failures.clear();
    list();
    want(wanted);
    if (store.connection !== "live") connect();
  }

  async function list() {
    try {
      const { experiments, error } = await get("/api/experiments");
      store.experiments = new Map(experiments.map((found) => [found.name, found]));
      store.problem = error;
      store.listed = true;
    } catch (error) {
      if (!store.listed) store.problem = error.message;
    }
    changed();
  }

  function listSoon() {
    listTimer ??= setTimeout(() => {
      listTimer = null;
      list();
    }, PAUSE_MS);
  }

  async function load(name) {
    if (busy.has(name)) return;
    busy.add(name);
    try {
      const found = await get(`/api/experiments/${encodeURIComponent(name)}`);
      found.trials.forEach((trial) => {
        trial.experiment = name;
        trial.key = `${name}/${trial.trial}`;
      });
      store.loaded.set(name, found);
      store.failures.delete(name);
    } catch (error) {
      if (error.status === 404) {
        store.loaded.delete(name);
        store.experiments.delete(name);
      } else if (!store.loaded.has(name)) store.failures.set(name, error.message);
    } finally {
      busy.delete(name);
    }
    changed();
    const newest = versions.get(name);
    if (newest && store.loaded.has(name) && newest !== store.loaded.get(name).version) loadSoon(name);
  }

  function loadSoon(name) {
    if (timers.has(name)) return;
    timers.set(name, setTimeout(() => {
      timers.delete(name);
      load(name);
    }, PAUSE_MS));
  }

  /** What a trial's row does not hold. */
  function details(experiment, trial) {
    return get(`/api/experiments/${encodeURIComponent(experiment)}/trials/${encodeURIComponent(trial)}`);
  }

  function connect() {
    reconnect?.();
    const stream = new EventSource("/api/events");
    let timer = null;
    reconnect = () => {
      clearTimeout(timer);
      stream.close();
    };
    stream.onopen = () => tell("live");
    stream.onmessage = ({ data }) => {
      const { experiment, version } = JSON.parse(data);
      if (version === null) {
        versions.delete(experiment);
        store.experiments.delete(experiment);
        store.loaded.delete(experiment);
        changed();
        return;
      }
      versions.set(experiment, version);
      if (store.experiments.get(experiment)?.version !== version) listSoon();
      if (wanted.has(experiment) && store.loaded.get(experiment)?.version !== version) loadSoon(experiment);
    };
    stream.addEventListener("storage", ({ data }) => {
      store.problem = JSON.parse(data).error;
      changed();
    });
    stream.onerror = () => {
      tell("lost");
      if (stream.readyState === EventSource.CLOSED) timer = setTimeout(connect, AGAIN_MS); // refused: the browser gives up
    };
  }

  function tell(state) {
    if (state === store.connection) return;
    const back = state === "live" && store.connection === "lost";
    store.connection = state;
    if (back) retry();
    changed();
  }

  list();
  connect();
  return store;
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
