// What needs no server: views, theme, keys, and times in the reader's own zone.
const kgt = {
  themes: ["system", "light", "dark"],

  theme(name) {
    const root = document.documentElement;
    root.dataset.theme = name;
    if (typeof setDark === "function") setDark({ light: false, dark: true }[name] ?? null);
    for (const button of document.querySelectorAll(".button.theme")) {
      button.title = `Theme: ${name}`;
      button.setAttribute("aria-label", `Theme: ${name}`);
    }
  },

  nextTheme() {
    const next = kgt.themes[(kgt.themes.indexOf(kgt.kept()) + 1) % kgt.themes.length];
    localStorage.setItem("kgt-theme", next);
    kgt.theme(next);
  },

  kept() {
    const name = localStorage.getItem("kgt-theme");
    return kgt.themes.includes(name) ? name : "system";
  },

  view(name) {
    document.documentElement.dataset.view = name;
    kgt.tidy();
  },

  tidy() {
    const shown = document.documentElement.dataset.view;
    for (const tab of document.querySelectorAll(".tab")) {
      const current = tab.dataset.view === shown || (shown === "chat" && tab.matches(".top .to-graph"));
      tab.toggleAttribute("data-current", current);
      tab.setAttribute("aria-current", current ? "page" : "false");
    }
    for (const time of document.querySelectorAll("time:not([data-local])")) {
      time.dataset.local = "";
      const when = new Date(time.getAttribute("datetime"));
      time.textContent = when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    }
  },

  key(event) {
    const typing = event.target.closest("input, textarea, [contenteditable]");
    const open = document.querySelector(".q-dialog");
    if (event.key === "Escape" && !open) {
      if (typing) typing.blur();
      emitEvent("kgt-escape");
    } else if (typing || open) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      kgt.view("graph");
      document.querySelector(".search input").focus();
    } else if (event.key === "?") {
      document.querySelector(".button.help").click();
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) {
      event.preventDefault();
      emitEvent("kgt-undo");
    }
  },
};

document.documentElement.dataset.view = "chat";
kgt.theme(kgt.kept());
document.addEventListener("keydown", kgt.key);
window.addEventListener("load", () => {
  kgt.theme(kgt.kept());
  kgt.tidy();
  new MutationObserver(kgt.tidy).observe(document.body, { childList: true, subtree: true });
});
