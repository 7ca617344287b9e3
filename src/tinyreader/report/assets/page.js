"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.dispatchEvent(new Event("theme"));
  });

  for (const box of document.querySelectorAll(".filter")) {
    const rows = document.querySelectorAll(`#${box.dataset.of} details`);
    for (const button of box.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        for (const other of box.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        for (const row of rows) row.hidden = button.dataset.kind !== "" && row.dataset.kind !== button.dataset.kind;
      });
    }
  }

  const make = (tag, parent, text, cls) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (cls) element.className = cls;
    parent.append(element);
    return element;
  };
  const percent = (p) => `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %`;

  // Code points, as the offsets count them.
  const points = (text) => Array.from(text);

  function showTokens(parent, title, text, view) {
    const box = make("div", parent);
    make("h3", box, title);
    make("p", box, `"no answer": start ${percent(view.null_start)}, end ${percent(view.null_end)}`, "quiet");
    const area = make("div", box, undefined, "tokens");
    const letters = points(text);
    let at = view.tokens.length ? view.tokens[0][0] : 0;
    if (at > 0) area.append("… ");
    view.tokens.forEach(([begin, end], n) => {
      if (begin > at) area.append(letters.slice(at, begin).join(""));
      if (begin < at || end <= begin) return;
      const token = make("span", area, letters.slice(begin, end).join(""), "t");
      token.title = `start ${percent(view.start[n])}, end ${percent(view.end[n])}`;
      for (const side of ["start", "end"]) {
        if (view[side][n] < 0.005) continue;
        const bar = make("i", token, undefined, side);
        bar.style.opacity = String(0.15 + 0.85 * Math.sqrt(view[side][n]));
      }
      at = end;
    });
    if (at < letters.length) area.append(" …");
  }

  const bytes = (encoded) => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const channels = (name) => {
    const hex = getComputedStyle(root).getPropertyValue(name).trim();
    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  };

  function paint(canvas, values, first, size) {
    canvas.width = canvas.height = size;
    const image = new ImageData(size, size), paper = channels("--paper"), ink = channels("--one");
    for (let i = 0; i < size * size; i++) {
      const share = values[first + i] / 255;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = paper[c] + share * (ink[c] - paper[c]);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function showAttention(parent, title, view) {
    const box = make("div", parent);
    make("h3", box, `Attention of ${title}: layers down, heads across`);
    const values = bytes(view.values), size = view.tokens.length, area = size * size;
    const grid = make("div", box, undefined, "heads");
    grid.style.gridTemplateColumns = `1.4rem repeat(${view.heads}, minmax(34px, 64px))`;
    const large = make("div", box, undefined, "large");
    const canvas = make("canvas", large), row = make("div", large, undefined, "row");
    let chosen = 0, from = 0;
    const small = [];
    const showRow = () => {
      row.replaceChildren();
      make("p", row, `layer ${1 + Math.floor(chosen / view.heads)}, head ${1 + (chosen % view.heads)}: what "${view.tokens[from]}" attends to`, "quiet");
      view.tokens.forEach((token, to) => {
        const share = (values[chosen * area + from * size + to] / 255) ** 2;
        const span = make("span", row, token);
        span.style.background = `color-mix(in srgb, var(--one) ${Math.round(85 * Math.sqrt(share))}%, transparent)`;
        span.title = percent(share);
        if (to === from) span.style.outline = "1px solid var(--two)";
        row.append(" ");
      });
    };
    const draw = () => {
      small.forEach((each, n) => { paint(each, values, n * area, size); each.classList.toggle("on", n === chosen); });
      paint(canvas, values, chosen * area, size);
      showRow();
    };
    for (let layer = 0; layer < view.layers; layer++) {
      make("span", grid, String(layer + 1));
      for (let head = 0; head < view.heads; head++) {
        const each = make("canvas", grid), n = layer * view.heads + head;
        each.title = `layer ${layer + 1}, head ${head + 1}`;
        each.addEventListener("click", () => { chosen = n; draw(); });
        small.push(each);
      }
    }
    canvas.title = "rows attend to columns; move over a row";
    canvas.addEventListener("mousemove", (event) => {
      const at = Math.floor(size * event.offsetY / canvas.clientHeight);
      if (at !== from && at >= 0 && at < size) { from = at; showRow(); }
    });
    document.addEventListener("theme", draw);
    draw();
  }

  const area = document.getElementById("view"), pick = document.getElementById("view-pick");
  if (area && data.views.length) {
    const show = () => {
      const item = data.views[Number(pick.value)];
      area.replaceChildren();
      const head = make("p", area);
      make("b", head, item.question);
      make("p", area, `gold: ${item.gold.join(" | ") || "no answer"}`, "quiet");
      const side = make("div", area, undefined, "side");
      for (const view of item.views) showTokens(side, `${view.who}: ${view.answer || "no answer"}`, item.context, view);
      const inside = make("div", area, undefined, "side");
      for (const view of item.attention) showAttention(inside, view.who, view);
    };
    pick.addEventListener("change", show);
    show();
  }
  root.dataset.ready = "yes";
})();
