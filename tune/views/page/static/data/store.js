// What is known: the list of experiments, those that are shown, and what a live source says has changed.

const PAUSE_MS = 150; // a run writes several files at once: they are fetched together

/**
 * @param source of `openSource`
 * @param {() => void} changed called whenever anything below is another than before
 * @returns the store: `experiments` (name → {version, states, error}), `loaded` (name → the experiment with its trials),
 * `failures` (name → why it could not be loaded), `connection` (connecting, live, lost or file), `listed`, `problem`
 */
export function openStore(source, changed) {
  const store = {
    experiments: new Map(), loaded: new Map(), failures: new Map(),
    connection: source.live ? "connecting" : "file", listed: false, problem: null,
    want, retry, details: source.details, fileOf: source.fileOf,
  };
  let wanted = new Set();
  const versions = new Map(); // the newest that the source has told
  const busy = new Set(), timers = new Map();
  let listTimer = null, leave = null;

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
      const { experiments, error } = await source.list();
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
      const found = await source.experiment(name);
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

  function connect() {
    leave?.();
    leave = source.follow({
      connected: () => tell("live"),
      lost: () => tell("lost"),
      again: connect,
      changed({ experiment, version }) {
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
      },
      storage(error) {
        store.problem = error;
        changed();
      },
    });
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
