/* Light, dark, or as the system is. Not a module, so that it runs before anything is painted. */

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      // The admin keeps its own word for the system's looks under the same name.
      const kept = localStorage.getItem("theme");
      return kept === "light" || kept === "dark" ? kept : "system";
    } catch {
      return "system"; // a browser that keeps nothing
    }
  }

  function apply() {
    const theme = chosen();
    root.dataset.theme = theme;
    root.dataset.bsTheme = theme === "system" ? (system.matches ? "dark" : "light") : theme;
    root.classList.toggle("dark-mode", root.dataset.bsTheme === "dark"); // the API's page goes by this one
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
    }
    dispatchEvent(new CustomEvent("theme"));
  }

  root.classList.add("js");
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-theme-choice]");
      if (!button) return;
      try {
        localStorage.setItem("theme", button.dataset.themeChoice);
      } catch {
        root.dataset.theme = button.dataset.themeChoice;
      }
      apply();
    });
  });
})();
