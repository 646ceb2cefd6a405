// What pages do beyond forms and links: dialogs, lines of a mapping, and saying so when the service does not answer.
"use strict";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
  const remover = event.target.closest("[data-removes]");
  if (remover) {
    const row = remover.closest("[data-row]");
    const next = row.nextElementSibling || row.previousElementSibling;
    row.remove();
    if (next) next.querySelector("input").focus();
  }
});

// A form that was sent is not sent again by a second click; coming back with the browser's button frees it.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  for (const button of event.target.querySelectorAll("button:not([type=button])")) {
    setTimeout(() => { button.disabled = true; }, 0);
  }
});
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

document.addEventListener("DOMContentLoaded", () => {
  const focused = document.querySelector("[aria-invalid=true]") || document.querySelector("[data-focus]");
  if (focused) focused.focus();
  // The note has been read; loading the page again does not bring it back.
  const address = new URL(location.href);
  if (address.searchParams.delete("done"), address.href !== location.href) history.replaceState(null, "", address);
});

// A poll that fails leaves the page as it is, says so, and goes on.
const trouble = (on) => {
  const bar = document.getElementById("trouble");
  if (bar.hidden === on) bar.hidden = !on;
};
const polls = (event) => event.detail.elt.closest("[data-poll]") !== null;
document.addEventListener("htmx:sendError", (event) => {
  trouble(true);
  if (!polls(event)) event.detail.elt.dispatchEvent(new Event("failed"));
});
document.addEventListener("htmx:timeout", () => trouble(true));
document.addEventListener("htmx:beforeSwap", (event) => {
  const status = event.detail.xhr.status;
  if (polls(event) && (status >= 500 || status === 429)) {
    event.detail.shouldSwap = false;
    trouble(true);
  } else {
    trouble(false);
  }
});
document.addEventListener("htmx:afterSwap", (event) => {
  const added = event.detail.requestConfig && event.detail.requestConfig.path.endsWith("/mapping/row");
  if (added) event.detail.target.lastElementChild.querySelector("input").focus();
});
