// Refreshes the part of a page that the server renders again. Without it every page and every action works as well.
"use strict";
(() => {
  const region = document.querySelector("[data-events]");
  const state = document.querySelector(".live");
  const all = document.querySelector("input[data-all]");
  if (all) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of all.closest("table").querySelectorAll("tbody input[type=checkbox]")) box.checked = all.checked;
    });
  }
  if (!region || !window.EventSource) return;
  let source = null;

  // Makes an element like another one, and keeps what a reader has chosen, typed or focused.
  function update(old, fresh) {
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (old.matches("input, select")) return;
    updateChildren(old, fresh);
  }

  function isLike(one, other) {
    return one.nodeType === other.nodeType && one.nodeName === other.nodeName &&
      (one.nodeType !== Node.ELEMENT_NODE || one.getAttribute("data-key") === other.getAttribute("data-key"));
  }

  function updateChildren(old, fresh) {
    const keyed = new Map([...old.children].filter((one) => one.dataset.key).map((one) => [one.dataset.key, one]));
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const known = child.nodeType === Node.ELEMENT_NODE && keyed.get(child.dataset.key);
      if (known && known !== place) old.insertBefore(known, place);
      const same = known || (place && isLike(place, child) ? place : null);
      if (same) {
        update(same, child);
        place = same.nextSibling;
      } else {
        old.insertBefore(child, place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  function show(name) {
    if (state) {
      state.dataset.state = name;
      state.textContent = { live: "live", lost: "reconnecting", paused: "paused" }[name];
    }
  }

  function open() {
    source = new EventSource(region.dataset.events);
    source.onopen = () => show("live");
    source.onerror = () => { if (source && source.readyState === EventSource.CLOSED) { close("lost"); setTimeout(resume, 5000); } };
    source.onmessage = (event) => {
      show("live");
      const fresh = document.createElement("template");
      fresh.innerHTML = event.data;
      updateChildren(region, fresh.content);
    };
  }

  function close(name) {
    if (source) source.close();
    source = null;
    show(name);
  }

  function resume() {
    if (!source && !document.hidden) open();
  }

  // A browser keeps six connections to a host: a hidden page gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close("paused") : resume()));
  window.addEventListener("pagehide", () => close("paused"));
  window.addEventListener("pageshow", resume);
  resume();
})();
