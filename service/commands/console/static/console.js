// Makes pages better that work without it: they follow what changes, and show local times.
"use strict";

const root = document.documentElement;
if (new Date().getTimezoneOffset()) root.classList.add("js");

// Times are UTC in the page; the browser's own time comes beside them.
function localTimes(within) {
  for (const each of within.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    if (each.nextElementSibling?.className === "local" || isNaN(at) || !at.getTimezoneOffset()) continue;
    const own = document.createElement("span");
    own.className = "local";
    own.textContent = " (" + at.toLocaleTimeString() + ")";
    each.after(own);
  }
}

// Takes the parts of a newer page that differ; what somebody works in stays as it is.
function take(fresh) {
  for (const old of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(old.id);
    if (!next || old.contains(document.activeElement)) continue;
    for (const open of old.querySelectorAll("details[open][id]")) {
      const same = next.querySelector("#" + CSS.escape(open.id));
      if (same) same.open = true;
    }
    localTimes(next);
    if (old.innerHTML !== next.innerHTML) old.replaceChildren(...next.childNodes);
  }
  document.title = fresh.title;
}

let failed = 0;
async function follow() {
  const main = document.getElementById("main");
  const seconds = Number(main.dataset.live);
  if (!seconds) return;
  try {
    if (!document.hidden) {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.redirected) return location.reload();
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const live = fresh.getElementById("main")?.dataset.live;
      take(fresh);
      if (live) main.dataset.live = live; else delete main.dataset.live;
      failed = 0;
    }
  } catch {
    failed += 1;
    document.title = "(console away) " + document.title.replace(/^\(console away\) /, "");
  }
  setTimeout(follow, 1000 * Math.min(60, (seconds || 5) * 2 ** Math.min(failed, 4)));
}

// Adopted nodes belong to another document until they are moved here.
localTimes(document);
setTimeout(follow, 1000 * Number(document.getElementById("main").dataset.live || 0));

// A form that was sent is not sent twice by a second click.
addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 5000);
});
