/* Swaps the sections of a page every three seconds while it can be seen.

   It fetches the page itself and takes over what has changed, until that is not marked any more as
   one that goes on. Without it, or when it cannot reach the server, the page stays as it was
   loaded. */
(() => {
  "use strict";
  const SECONDS = 3;
  const root = document.querySelector("[data-toosimpleq]");
  if (!root) return;
  let timer = 0;
  let fetching = null;

  const sections = (page) =>
    new Map([...page.querySelectorAll("[data-section]")].map((one) => [one.dataset.section, one]));

  // Whoever has a button in hand, or has marked a text, keeps what they see.
  const isHeld = (section) => {
    const selection = document.getSelection();
    return (
      section.contains(document.activeElement) ||
      section.matches(":has(button:hover, button:active)") ||
      (selection && !selection.isCollapsed && section.contains(selection.anchorNode))
    );
  };

  const swap = (fresh) => {
    for (const [name, section] of sections(document)) {
      const other = fresh.get(name);
      if (!other || isHeld(section) || section.isEqualNode(other)) continue;
      section.replaceWith(document.importNode(other, true));
    }
  };

  const refresh = async () => {
    fetching = new AbortController();
    try {
      const response = await fetch(window.location.href, {
        headers: { "X-Toosimpleq-Refresh": "1" },
        signal: fetching.signal,
        cache: "no-store",
      });
      // A login page, or one of a proxy, has no sections.
      if (!response.ok || response.redirected) throw new Error(String(response.status));
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = sections(page);
      if (!fresh.size) throw new Error("no sections");
      swap(fresh);
      root.classList.remove("tsq-stale");
      if (!page.querySelector("[data-toosimpleq]")) return;
    } catch (error) {
      if (error.name === "AbortError") return;
      root.classList.add("tsq-stale");
    }
    plan();
  };

  const plan = () => {
    window.clearTimeout(timer);
    if (!document.hidden) timer = window.setTimeout(refresh, SECONDS * 1000);
  };

  document.addEventListener("visibilitychange", () => {
    window.clearTimeout(timer);
    if (document.hidden && fetching) fetching.abort();
    if (!document.hidden) refresh();
  });
  // A request that a button sends must not be overtaken by an older page.
  document.addEventListener("submit", () => {
    window.clearTimeout(timer);
    if (fetching) fetching.abort();
  });
  plan();
})();
