// Saves reloads, and nothing else: every page works without it.
//
// A region is an element with `data-region` and an id, made by the server. The element with `data-live` names
// the address that gives the regions again; forms with `data-inline` are sent without leaving the page.
"use strict";

const live = document.querySelector("[data-live]");
const controls = document.getElementById("controls");
const choice = document.querySelector("[data-refresh] select");

// --- Times in the viewer's zone; UTC under the pointer.

const formats = {
  zoned: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }),
  clock: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
  minute: new Intl.DateTimeFormat(undefined, { timeStyle: "short" }),
  date: new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }),
};

function localise(root) {
  for (const time of root.querySelectorAll("time[data-time]")) {
    const instant = new Date(time.dateTime);
    const isToday = instant.toDateString() === new Date().toDateString();
    if (!time.title) time.title = time.textContent;
    time.textContent = (formats[time.dataset.time] || (isToday ? formats.clock : formats.zoned)).format(instant);
  }
  for (const hint of root.querySelectorAll("title[data-at]")) {
    hint.textContent = hint.textContent.replace(/^\d\d:\d\d UTC/, formats.minute.format(new Date(hint.dataset.at)));
  }
}

// --- Change what differs, and leave the rest alone: focus, selection, typed text, scroll positions, open tables.

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset?.key || "" : "";
}

function isSameKind(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.nodeValue = to.nodeValue;
    return;
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
  }
  if (from.nodeName !== "TEXTAREA") morphChildren(from, to);
}

function morphChildren(from, to) {
  const keyed = new Map([...from.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let match = keyOf(wanted) ? keyed.get(keyOf(wanted)) : at;
    while (match && !keyOf(wanted) && !isSameKind(match, wanted)) match = match.nextSibling;
    if (!match || !isSameKind(match, wanted)) {
      from.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (match !== at && match.contains(document.activeElement)) {
      // Moving it would lose the focus, so the others move.
      while (at !== match) {
        const following = at.nextSibling;
        from.append(at);
        at = following;
      }
    } else if (match !== at) {
      from.insertBefore(match, at);
    }
    if (match === at) at = at.nextSibling;
    morph(match, wanted);
  }
  while (at) {
    const following = at.nextSibling;
    at.remove();
    at = following;
  }
}

function figures(root) {
  return new Map([...root.querySelectorAll("[data-value]")].map((each) => [each.dataset.value, each.textContent]));
}

// Put the regions of an answer in their places; how many there were.
function swap(fresh) {
  let found = 0;
  localise(fresh);
  for (const each of fresh.querySelectorAll("[data-region]")) {
    const region = document.getElementById(each.id);
    if (!region) continue;
    const before = figures(region);
    morph(region, each);
    for (const [name, text] of figures(region)) {
      if (before.has(name) && before.get(name) !== text) {
        region.querySelector(`[data-value="${CSS.escape(name)}"]`).classList.add("is-new");
      }
    }
    found += 1;
  }
  if (found) tellSelection();
  return found;
}

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

// --- Live, stale or failed: said in words, by the dot and in the tab. What is stale is unknown, never OK.

const HIDDEN_S = 60;
let title = document.title;
let lastGood = Date.now();
let failures = 0;

function chosen() {
  return choice ? Number(choice.value) : Number(live ? live.dataset.every : 0);
}

function interval() {
  return document.hidden && chosen() > 0 ? Math.max(chosen(), HIDDEN_S) : chosen();
}

function tell() {
  const age = (Date.now() - lastGood) / 1000;
  const late = age > 3 * (interval() || HIDDEN_S) + 3;
  const state = failures >= 2 ? "failed" : failures || late ? "stale" : interval() > 0 ? "live" : "";
  const isUnknown = state === "failed" || state === "stale";
  if (live.dataset.title) {
    const since = `Unknown since ${formats.minute.format(lastGood)}`;
    const level = document.querySelector("#verdict .level");
    const wanted = isUnknown ? `${since}: ${live.dataset.title}` : title;
    if (document.title !== wanted) document.title = wanted;
    if (isUnknown && level && level.textContent !== since) {
      level.textContent = since;
      level.parentElement.className = "verdict unknown";
    }
  }
  if (!controls) return;
  for (const each of ["live", "stale", "failed"]) controls.classList.toggle(`is-${each}`, state === each);
  const words = { failed: "Failed to refresh; as of", stale: "Stale; as of", live: "Live; as of" };
  const liveness = document.getElementById("liveness");
  if (liveness.textContent !== (words[state] || "as of")) liveness.textContent = words[state] || "as of";
}

// --- Refresh.

let timer = 0;
let underWay = false;

function schedule() {
  clearTimeout(timer);
  if (!live || interval() <= 0) return;
  const isSettling = !document.hidden && document.querySelector("[data-settling]");
  timer = setTimeout(refresh, (isSettling ? 0.4 : interval()) * 1000);
}

async function refresh() {
  if (underWay) return;
  underWay = true;
  try {
    const reply = await fetch(live.dataset.live, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(10000) });
    if (!reply.ok && reply.status !== 503) throw new Error(String(reply.status));
    const fresh = parsed(await reply.text());
    if (reply.redirected || swap(fresh) === 0) throw new Error("not our page");
    if (fresh.title) title = fresh.title;
    lastGood = Date.now();
    failures = 0;
  } catch {
    failures += 1;
  }
  underWay = false;
  tell();
  schedule();
}

// --- Send a form and show the page that it leads to, in place.

async function send(form, submitter) {
  const buttons = [...form.querySelectorAll("button:not(:disabled)")];
  const body = new URLSearchParams(new FormData(form, submitter));
  const wasFocused = document.activeElement;
  buttons.forEach((each) => { each.disabled = true; });
  try {
    // Not form.action: a button of that name would be in its place.
    const reply = await fetch(submitter?.getAttribute("formaction") || form.getAttribute("action"), { method: "POST", body, headers: { Accept: "text/html" } });
    const fresh = parsed(await reply.text());
    if (!swap(fresh)) {
      localise(fresh);
      morph(document.querySelector("main"), fresh.querySelector("main"));
      document.title = fresh.title;
    } else if (live) {
      if (reply.redirected) history.replaceState(null, "", reply.url);
      live.dataset.live = fresh.querySelector("[data-live]")?.dataset.live || live.dataset.live;
      title = fresh.title;
      lastGood = Date.now();
      failures = 0;
      tell();
    }
  } catch {
    form.submit(); // the browser says better than we do what is wrong
    return;
  } finally {
    buttons.forEach((each) => { each.disabled = false; });
  }
  const wrong = form.querySelector("[aria-invalid=true]");
  if (wrong) wrong.focus();
  else if (wasFocused.isConnected) wasFocused.focus({ preventScroll: true }); // a disabled button loses it
  showFeedback();
  tellSelection();
  schedule();
}

// Wherever on the page the button was, the result is in view.
function showFeedback() {
  const notice = document.getElementById("did");
  if (!notice) return;
  notice.classList.add("in-sight");
  setTimeout(() => notice.classList.remove("in-sight"), 8000);
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-inline]")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

// --- Boxes to tick: how many are, and buttons that need some.

function tellSelection() {
  for (const form of document.querySelectorAll("form[data-selection]")) {
    const boxes = [...form.elements].filter((each) => each.name === "id" && each.type === "checkbox");
    const ticked = boxes.filter((each) => each.checked).length;
    for (const button of form.querySelectorAll("[data-for-selected]")) button.disabled = ticked === 0;
    const count = form.querySelector("[data-selected]");
    if (count) count.textContent = ticked ? `${ticked} selected` : "None selected";
    const all = form.querySelector("[data-select-all]");
    if (!all) continue;
    all.hidden = boxes.length < 2;
    all.querySelector("input").checked = boxes.length > 0 && ticked === boxes.length;
  }
}

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (!form || !form.matches("[data-selection]")) return;
  if (event.target.closest("[data-select-all]")) {
    for (const each of form.elements) if (each.name === "id") each.checked = event.target.checked;
  }
  tellSelection();
});

// --- Copy, theme, shortcuts.

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (!copy) return;
  const source = copy.dataset.copy.startsWith("#") ? document.querySelector(copy.dataset.copy).textContent : copy.dataset.copy;
  navigator.clipboard.writeText(source).then(() => { copy.textContent = "Copied"; });
});

const theme = document.getElementById("theme");
const THEMES = { auto: "light", light: "dark", dark: "auto" }; // each with the one that follows

function tellTheme() {
  const now = document.documentElement.dataset.theme || "auto";
  theme.textContent = `Theme: ${now}`;
  return now;
}

if (theme) {
  theme.hidden = false;
  tellTheme();
  theme.addEventListener("click", () => {
    const next = THEMES[tellTheme()];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax`;
    tellTheme();
  });
}

const shortcuts = document.getElementById("shortcuts");
const keys = {
  "/": () => document.querySelector("[data-find]")?.focus(),
  r: () => (live ? refresh() : location.reload()),
  "?": () => shortcuts.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (!shortcuts || shortcuts.open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]") || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

// --- Start.

document.addEventListener("visibilitychange", () => {
  if (document.hidden || interval() <= 0) schedule();
  else if (live) refresh();
});

if (choice) {
  const kept = localStorage.getItem("refresh");
  if (kept && [...choice.options].some((option) => option.value === kept)) choice.value = kept;
  choice.closest("[data-refresh]").hidden = false;
  choice.addEventListener("change", () => {
    localStorage.setItem("refresh", choice.value);
    tell();
    schedule();
  });
}

for (const each of document.querySelectorAll("[data-copy]")) each.hidden = false;
localise(document);
tellSelection();
schedule();
if (live) {
  tell();
  setInterval(tell, 1000);
}
