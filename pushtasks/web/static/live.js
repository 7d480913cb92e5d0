// Saves reloads, and nothing else: every page works without it.
//
// A region is an element with `data-region` and an id, made by the server. The element with `data-live` names
// the address that gives the regions anew; forms with `data-inline` are sent without leaving the page.
"use strict";

const shown = new Map(); // each region's markup as the server sent it, to see whether it changed
const live = document.querySelector("[data-live]");
const controls = document.getElementById("controls");
const liveness = document.getElementById("liveness");

const zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

// Times in the viewer's zone; UTC under the pointer.
function localise(root) {
  for (const time of root.querySelectorAll("time[data-time]")) {
    const instant = new Date(time.dateTime);
    const today = instant.toDateString() === new Date().toDateString();
    time.title = time.textContent;
    const format = { clock, minute }[time.dataset.time] || (today ? clock : zoned);
    time.textContent = format.format(instant);
  }
  for (const hint of root.querySelectorAll("title[data-at]")) {
    hint.textContent = hint.textContent.replace(/^\d\d:\d\d UTC/, minute.format(new Date(hint.dataset.at)));
  }
}

function focusedIn(region) {
  const element = document.activeElement;
  return region.contains(element) ? element : null;
}

// What tells a control apart from its neighbours, before and after a swap.
function identity(element) {
  const form = element.form ? element.form.getAttribute("action") : "";
  return [element.tagName, element.id, element.getAttribute("href"), form, element.textContent.trim()].join("|");
}

function values(root) {
  return new Map([...root.querySelectorAll("[data-value]")].map((each) => [each.dataset.value, each.textContent]));
}

// The keys of forms are new in each answer; that alone is no reason to swap what somebody may be pressing.
function markupOf(region) {
  return region.outerHTML.replace(/name="key" value="[^"]*"/g, "");
}

function swapRegion(region, fresh, force) {
  const markup = markupOf(fresh);
  if (!force && shown.get(region.id) === markup) return;
  const focused = focusedIn(region);
  if (focused && focused.matches("input, textarea, select")) return; // somebody is typing: the next time, then
  const open = [...region.querySelectorAll("details")].map((each) => each.open);
  const before = values(region);
  region.className = fresh.className;
  region.innerHTML = fresh.innerHTML;
  shown.set(region.id, markup);
  region.querySelectorAll("details").forEach((each, index) => { each.open = Boolean(open[index]); });
  for (const each of region.querySelectorAll("[data-value]")) {
    const earlier = before.get(each.dataset.value);
    if (earlier !== undefined && earlier !== each.textContent) each.classList.add("is-new");
  }
  localise(region);
  if (focused) {
    const wanted = identity(focused);
    const again = [...region.querySelectorAll("a, button, summary")].find((each) => identity(each) === wanted);
    if (again) again.focus({ preventScroll: true });
  }
}

function swap(html, force = false) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  let found = 0;
  for (const each of fresh.querySelectorAll("[data-region]")) {
    const region = document.getElementById(each.id);
    if (region) {
      swapRegion(region, each, force);
      found += 1;
    }
  }
  return { fresh, found };
}

// Live, stale or failed: said in words and by the dot.
let lastGood = Date.now();
let failures = 0;

function tell() {
  if (!controls) return;
  const age = (Date.now() - lastGood) / 1000;
  const late = interval() > 0 && age > 3 * interval() + 3;
  const state = failures >= 2 ? "failed" : failures || late ? "stale" : interval() > 0 ? "live" : "";
  controls.classList.toggle("is-live", state === "live");
  controls.classList.toggle("is-stale", state === "stale");
  controls.classList.toggle("is-failed", state === "failed");
  const words = { failed: "Failed to refresh; as of", stale: "Stale; as of", live: "Live; as of" };
  const text = words[state] || "as of";
  if (liveness.textContent !== text) liveness.textContent = text;
}

const choice = document.querySelector("[data-refresh] select");

function interval() {
  return choice ? Number(choice.value) : Number(live ? live.dataset.every : 0);
}

let timer = 0;
let underWay = false;

function schedule() {
  clearTimeout(timer);
  if (!live || document.hidden || interval() <= 0) return;
  const settling = document.querySelector("[data-settling]") ? 0.4 : interval();
  timer = setTimeout(refresh, settling * 1000);
}

async function refresh() {
  if (underWay) return;
  underWay = true;
  try {
    const reply = await fetch(live.dataset.live, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(10000) });
    if (!reply.ok && reply.status !== 503) throw new Error(String(reply.status));
    if (reply.redirected || swap(await reply.text()).found === 0) throw new Error("not our page");
    lastGood = Date.now();
    failures = 0;
  } catch {
    failures += 1;
  }
  underWay = false;
  tell();
  schedule();
}

// Send a form and show the page that it leads to, in place.
async function send(form, submitter) {
  const buttons = form.querySelectorAll("button");
  buttons.forEach((each) => { each.disabled = true; });
  try {
    const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, submitter)), headers: { Accept: "text/html" } });
    const { fresh, found } = swap(await reply.text(), true);
    if (!found) {
      document.querySelector("main").replaceWith(document.adoptNode(fresh.querySelector("main")));
      return;
    }
    if (reply.redirected) history.replaceState(null, "", reply.url);
    const freshLive = fresh.querySelector("[data-live]");
    if (live && freshLive) live.dataset.live = freshLive.dataset.live;
    const key = fresh.querySelector(`form[action="${CSS.escape(form.getAttribute("action"))}"] [name=key]`);
    if (key && form.isConnected && form.elements.key) form.elements.key.value = key.value;
    announce(fresh);
  } catch {
    form.submit(); // the browser says better than we do what is wrong
    return;
  } finally {
    buttons.forEach((each) => { each.disabled = false; });
  }
  schedule();
}

function announce(fresh) {
  const notice = fresh.getElementById("did");
  if (!notice) return;
  document.getElementById("did")?.remove();
  localise(notice);
  notice.classList.add("in-sight"); // wherever on the page the button was
  controls?.after(document.adoptNode(notice));
  setTimeout(() => notice.classList.remove("in-sight"), 8000);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-inline]")) return;
  event.preventDefault();
  send(form, event.submitter);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (live && interval() > 0) refresh();
});

for (const all of document.querySelectorAll("[data-select-all]")) {
  const box = all.querySelector("input");
  const boxes = [...box.form.querySelectorAll('input[name="id"]')];
  all.hidden = boxes.length < 2;
  box.addEventListener("change", () => { for (const each of boxes) each.checked = box.checked; });
  box.form.addEventListener("change", () => { box.checked = boxes.every((each) => each.checked); });
}

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

for (const region of document.querySelectorAll("[data-region]")) shown.set(region.id, markupOf(region));
localise(document);
tell();
schedule();
if (live) setInterval(tell, 1000);
