// Light, dark, or as the system: set before anything is drawn, so that no page flashes in the other colours.
"use strict";
(() => {
  const KEY = "litesnn-theme", ORDER = ["system", "light", "dark"];
  const root = document.documentElement;
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off: the choice lasts as long as the page
    }
  };
  const apply = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    root.dataset.choice = theme;
    const button = document.getElementById("theme");
    if (button) {
      const words = theme === "system" ? "Colours: as the system" : `Colours: ${theme}`;
      button.setAttribute("aria-label", words);
      button.title = words;
    }
    root.dispatchEvent(new Event("themechange"));
  };
  const first = stored();
  apply(ORDER.includes(first) ? first : "system");
  addEventListener("DOMContentLoaded", () => {
    apply(root.dataset.choice);
    document.getElementById("theme")?.addEventListener("click", () => {
      const next = ORDER[(ORDER.indexOf(root.dataset.choice) + 1) % ORDER.length];
      try {
        localStorage.setItem(KEY, next);
      } catch {
        // as above
      }
      apply(next);
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => root.dispatchEvent(new Event("themechange")));
})();
