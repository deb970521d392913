// The page is whole without this. With it, it is asked for again every few seconds, the
// parts that are marked as live are taken over, members are found while one types, and the
// theme can be chosen.
"use strict";

const interval = 3000; // milliseconds
const patience = 10000; // for an answer
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

function setUpTheme() {
  const theme = document.getElementById("theme");
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  label();
  theme.hidden = false;
}

// Who points at a member of the mesh, or comes to it with the keyboard, sees its lines
// better than all others.
let picked = null;

function pick(node) {
  picked = node;
  const mesh = document.querySelector(".mesh");
  if (!mesh) return;
  mesh.classList.toggle("picking", picked !== null);
  for (const line of mesh.querySelectorAll(".edges > g")) {
    line.classList.toggle("lit", line.dataset.a === picked || line.dataset.b === picked);
  }
}

function setUpMesh() {
  const part = document.getElementById("mesh-drawing");
  const nodeOf = (e) => e.target.closest?.("a[data-node]")?.dataset.node ?? null;
  part.addEventListener("pointerover", (e) => pick(nodeOf(e)));
  part.addEventListener("pointerleave", () => pick(null));
  part.addEventListener("focusin", (e) => pick(nodeOf(e)));
  part.addEventListener("focusout", () => pick(null));
}

// A part is left alone while somebody has selected text in it.
function selected(part) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

// Who is in a part with the keyboard is in the same place afterwards, or in its section if
// that place is gone.
function sameAs(element, part) {
  const name = (e) => e.id || e.getAttribute("aria-label") || e.getAttribute("href") + e.textContent;
  return [...part.querySelectorAll(element.localName)].find((e) => name(e) === name(element));
}

const shown = new Map(); // parts, as they came

function replace(part, fresh) {
  if (shown.get(part.id) === fresh.innerHTML || selected(part)) return;
  shown.set(part.id, fresh.innerHTML);
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  for (const open of part.querySelectorAll("details[open]")) {
    fresh.querySelector("#" + open.id)?.setAttribute("open", "");
  }
  const scrolled = [part, ...part.querySelectorAll(".scroll")].map((e) => [e.scrollLeft, e.scrollTop]);
  part.replaceChildren(...fresh.childNodes);
  [part, ...part.querySelectorAll(".scroll")].forEach((e, i) => { if (scrolled[i]) e.scrollTo({ left: scrolled[i][0], top: scrolled[i][1], behavior: "instant" }); });
  if (focused && focused !== part) {
    const section = part.closest("section");
    if (section) section.tabIndex = -1;
    (sameAs(focused, part) ?? section)?.focus({ preventScroll: true });
  }
  if (part.id === "mesh-drawing") pick(picked);
}

function takeOver(text) {
  const next = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = next.getElementById(part.id);
    if (fresh) replace(part, fresh);
  }
  if (document.title !== next.title) {
    document.title = next.title;
    say(next.title);
  }
}

// say tells those who hear the page.
function say(text) {
  document.getElementById("spoken").textContent = text;
}

// connected says whether the server answers.
let lastAnswer = new Date();

function connected(yes, why) {
  const line = document.getElementById("connection");
  if (yes) lastAnswer = new Date();
  root.classList.toggle("stale", !yes);
  const text = yes ? "" : `⚠ ${why} What is below is as of ${lastAnswer.toISOString().slice(11, 19)} UTC; trying again.`;
  if (line.textContent !== text) line.textContent = text;
  line.hidden = yes;
}

let asked = 0; // requests, of which the last one counts

async function load() {
  const own = ++asked;
  try {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store", signal: AbortSignal.timeout(patience) });
    const text = await answer.text();
    if (own !== asked) return;
    if (answer.ok) takeOver(text);
    connected(answer.ok, `The server refuses to answer (${answer.status}).`);
  } catch {
    if (own === asked) connected(false, "The server does not answer.");
  }
}

// list shows another part of the list of members.
async function list(query) {
  history.replaceState(null, "", location.pathname + (query ? "?" + query : ""));
  await load();
  say(document.getElementById("found")?.textContent ?? "");
}

function setUpList() {
  const form = document.getElementById("find");
  const ask = () => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, usual] of [["q", ""], ["only", "all"], ["sort", "address"]]) {
      if (query.get(name) === usual) query.delete(name);
    }
    list(query.toString());
  };
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 200);
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    clearTimeout(waiting);
    ask();
  });
  document.addEventListener("click", (e) => {
    const link = e.target.closest?.('a[href^="?"]'); // all that lead to members
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    const query = new URLSearchParams(link.getAttribute("href").split("#")[0]);
    form.elements.q.value = query.get("q") ?? "";
    form.elements.only.value = query.get("only") ?? "all";
    form.elements.sort.value = query.get("sort") ?? "address";
    form.elements.dir.checked = query.get("dir") === "desc";
    list(query.toString());
    const members = document.getElementById("members");
    if (!members.contains(link)) {
      members.scrollIntoView();
      members.focus({ preventScroll: true });
    }
  });
}

document.addEventListener("DOMContentLoaded", () => {
  setUpTheme();
  setUpMesh();
  setUpList();
  const pause = document.getElementById("pause");
  let paused = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
  });
  pause.hidden = false;
  async function look() {
    if (!paused && !document.hidden) await load();
    setTimeout(look, interval);
  }
  setTimeout(look, interval);
});
