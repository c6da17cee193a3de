// Colour theme. A classic script, run before the first paint, so that a dark page never flashes white.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("clearcast.theme");
  } catch {
    // Storage is blocked: follow the system.
  }
  const show = () => {
    document.documentElement.dataset.theme = chosen ?? (system.matches ? "dark" : "light");
  };
  system.addEventListener("change", show);
  document.addEventListener("clearcast:theme", (event) => {
    chosen = event.detail;
    show();
  });
  show();
})();
