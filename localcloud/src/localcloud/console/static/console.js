"use strict";
// Follows the log: asks for the lines again, and says when there is no answer. While somebody reads further
// up, nothing moves, and what came is counted. Without script there is the link to reload.
const log = document.getElementById("log");
const following = document.getElementById("following");
const PAUSE_MS = 2000;

function lastTime(root) {
  const lines = root.querySelectorAll("li");
  return lines.length ? Number(lines[lines.length - 1].dataset.time) : 0;
}

function isAtTheEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

async function follow() {
  if (!document.hidden) {
    const reply = await fetch(log.dataset.fragment).catch(() => null);
    if (!reply || !reply.ok) {
      following.textContent = "Not connected: these lines may be old.";
    } else {
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      if (isAtTheEnd()) {
        log.replaceChildren(...page.body.childNodes);
        log.scrollTop = log.scrollHeight;
        following.textContent = "Following.";
      } else {
        const shown = lastTime(log);
        const count = [...page.querySelectorAll("li")].filter((line) => Number(line.dataset.time) > shown).length;
        following.textContent = `Paused while you read: ${count} new ${count === 1 ? "line" : "lines"} below.`;
      }
    }
  }
  setTimeout(follow, PAUSE_MS);
}

if (log) {
  log.scrollTop = log.scrollHeight;
  follow();
}
