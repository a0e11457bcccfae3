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

  // The force layout, once it came out, stretched to the room there is; again when that changes.
  settle(id) {
    const chart = getElement(id).chart;
    const series = chart?.getModel().getSeriesByIndex(0);
    const nodes = series?.option.data ?? [];
    const room = [chart.getWidth(), chart.getHeight()];
    const fresh = series?.get("layout") === "force";
    if (!nodes.length || (!fresh && String(chart.room) === String(room))) return;
    chart.room = room;
    const places = nodes.map((node, i) => (fresh ? series.getData().getItemLayout(i) : [node.x, node.y]));
    const fit = (axis, most, margin) => {
      const along = places.map((place) => place[axis]);
      const [least, size] = [Math.min(...along), Math.max(...along) - Math.min(...along) || 1];
      const scale = Math.min(most, (room[axis] - margin) / size);
      const start = (room[axis] - scale * size) / 2;
      return { start, size: scale * size, at: (place) => start + scale * (place[axis] - least) };
    };
    const [x, y] = [fit(0, 1.6, 150), fit(1, 1.3, 70)];
    const data = nodes.map((node, i) => ({ ...node, x: x.at(places[i]), y: y.at(places[i]) - 8 }));
    const box = { left: x.start, top: y.start - 8, width: x.size, height: y.size };
    chart.setOption({ series: [{ layout: "none", data, ...box }] });
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
