// A classic script, run before the page is painted, so that a dark page never flashes white.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("clearcast.theme");
  } catch {
    // The browser keeps nothing for this page: the system's choice it is.
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
