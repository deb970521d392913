// The page is whole without this. With it, it is asked for again every few seconds, the
// parts that are marked as live are taken over, and the theme can be chosen.
"use strict";

const interval = 3000; // milliseconds
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

// The theme is kept in the browser, if that lets us.
function remembered() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

function remember(theme) {
  try { localStorage.setItem("theme", theme); } catch { /* for this time only, then */ }
}

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
}

if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

document.addEventListener("DOMContentLoaded", () => {
  const theme = document.getElementById("theme");
  const pause = document.getElementById("pause");

  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  label();
  theme.hidden = false;

  let paused = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
  });
  pause.hidden = false;

  // A part is left alone while somebody is in it, with the keyboard or a selection.
  function inUse(part) {
    const selection = getSelection();
    return part.contains(document.activeElement) ||
      selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  }

  function takeOver(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = next.getElementById(part.id);
      if (!fresh || inUse(part)) continue;
      const scrolled = part.querySelector(".scroll");
      const [x, y] = scrolled ? [scrolled.scrollLeft, scrolled.scrollTop] : [0, 0];
      part.replaceChildren(...fresh.childNodes);
      const again = part.querySelector(".scroll");
      if (again) again.scrollTo(x, y);
    }
    document.title = next.title;
  }

  async function look() {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
        if (answer.ok) takeOver(await answer.text());
        root.classList.toggle("stale", !answer.ok);
      } catch {
        root.classList.add("stale"); // the server does not answer; the next time may do
      }
    }
    setTimeout(look, interval);
  }
  setTimeout(look, interval);
});
