// Affinity explorer: a cell of the query frame, and over each memory frame how much of its affinity goes where.

const HINT = "point, click to pin \u00b7 arrows move the cell \u00b7 Enter pin \u00b7 h heatmap \u00b7 c scale";
const SCALES = { row: "this query's peak", linear: "the largest so far", log: "log, four decades" };
const DECADES = 4;
const PATIENCE = 10000; // ms after which an unanswered question no longer holds up the next

function render({ model, el }) {
  const get = (name) => model.get(name);
  const set = (name, value) => {
    if (get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };
  const [width, height, rows, columns] = ["width", "height", "rows", "columns"].map(get);
  const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const heatmap = get("heatmap").byteLength ? floats(get("heatmap")) : null;
  const colors = ramp(get("heat"));
  const cells = rows * columns;

  // ---- what there is on the page
  const panels = get("numbers").map((t, n) => {
    const canvas = node("canvas", { role: "img" });
    const caption = node("figcaption");
    return { t, n, canvas, caption, figure: node("figure", { class: n ? "memory" : "query" }, canvas, caption) };
  });
  const query = panels[0];
  const heat = node("button", { type: "button", title: "total affinity of each cell to the object's memory (h)" }, "heatmap h");
  const scales = Object.entries(SCALES).map(([name, title]) => {
    const button = node("button", { type: "button", title: `bright is: ${title} (c)` }, name);
    button.onclick = () => set("scale", name);
    return { name, button };
  });
  const bar = node("span", { class: "ramp", "aria-hidden": "true" });
  bar.style.background = `linear-gradient(to right, ${get("heat").join(",")})`;
  const [low, high] = [node("span", { class: "faint" }), node("span", { class: "faint" })];
  const reading = node("p", { class: "reading", role: "status" });
  const choice = node("span", { class: "choices", role: "group", "aria-label": "scale" }, ...scales.map(({ button }) => button));
  const root = node(
    "div",
    { class: "vosnb", tabindex: 0, role: "group", "aria-label": get("alt"), "data-lm-suppress-shortcuts": "true" },
    node("div", { class: "panels" }, ...panels.map((panel) => panel.figure)),
    node("div", { class: "bar" }, ...(heatmap ? [heat] : []), choice, low, bar, high),
    reading,
    node("small", { class: "hint" }, HINT),
  );
  el.append(root);

  // ---- asking: one question on its way, of the rest the latest; an answer counts however late it comes
  let asked = null; // the cell of the question on its way
  let late;
  function ask(cell) {
    if (asked !== null) return;
    asked = cell;
    late = setTimeout(() => {
      asked = null;
      tell({ cell, text: "no answer yet: the kernel is busy with other cells, or not running" });
      if (get("cell") !== cell) ask(get("cell"));
    }, PATIENCE);
    model.send({ type: "probe", cell });
  }
  function hear({ type, cell, text }, buffers) {
    if (type !== "affinity" && type !== "failed") return;
    if (cell === asked) {
      clearTimeout(late);
      asked = null;
    }
    tell(type === "failed" ? { cell, text } : { cell, values: floats(buffers[0]) });
    if (cell !== get("cell")) ask(get("cell"));
  }
  /** The answer in an exported page: of the nearest query cell that the table holds. */
  function look(cell) {
    const stride = get("stride");
    const across = Math.ceil(columns / stride);
    const nearest = (i, n) => Math.min(Math.ceil(n / stride) - 1, Math.round(i / stride));
    const [y, x] = [nearest(Math.floor(cell / columns), rows), nearest(cell % columns, columns)];
    const [table, size] = [get("table"), cells * (panels.length - 1)];
    const row = new Uint8Array(table.buffer, table.byteOffset + (y * across + x) * size, size);
    const peak = floats(get("peaks"))[y * across + x];
    return { cell: y * stride * columns + x * stride, values: Float32Array.from(row, (v) => peak * (v / 255) ** 2) };
  }

  // ---- drawing
  let shown = null; // the latest answer
  let largest = get("top");
  const bitmaps = get("frames").map((frame) => decode(frame, "image/jpeg"));
  const paint = latest(async () => {
    const images = await Promise.all(bitmaps);
    const scale = get("scale");
    const peak = shown?.values ? shown.values.reduce((a, b) => Math.max(a, b), 1e-30) : 1;
    largest = Math.max(largest, shown?.values ? peak : 0, get("top"));
    const brightness = (top) => (v) => (scale === "log" ? 1 + Math.log10(Math.max(v, 1e-30) / top) / DECADES : v / top);
    const bright = brightness(scale === "linear" ? largest : peak);
    const mapped = get("view") === "heatmap";
    const hTop = heatmap && scale !== "linear" ? heatmap.reduce((a, b) => Math.max(a, b), 1e-30) : 1;
    for (const { t, n, canvas, caption } of panels) {
      const context = fit(canvas, width, height);
      const values = n ? shown?.values?.subarray((n - 1) * cells, n * cells) : mapped ? heatmap : null;
      context.filter = values ? "grayscale(1) brightness(0.6)" : "none";
      context.drawImage(images[n], 0, 0, width, height);
      context.filter = "none";
      if (values) {
        context.imageSmoothingEnabled = false; // one square is one cell
        context.drawImage(heatImage(values, n ? bright : brightness(hTop), colors, rows, columns), 0, 0, width, height);
        context.imageSmoothingEnabled = true;
      }
      const unit = width / Math.max(1, canvas.clientWidth);
      outline(context, { lines: get("drawings")[n].lines, names: [] }, get("palette"), get("dashes"), unit);
      if (!n) frameCell(context, unit);
      const share = n && values ? `  ${(100 * values.reduce((a, b) => a + b, 0)).toFixed(0)} %` : "";
      caption.textContent = n ? `memory: frame ${t}${share}` : `query: frame ${t}${mapped ? ", heatmap h" : ""}`;
      canvas.setAttribute("aria-label", caption.textContent);
    }
    const top = scale === "linear" ? largest : peak;
    low.textContent = scale === "log" ? (top / 10 ** DECADES).toExponential(1) : "0";
    high.textContent = top.toPrecision(2);
    root.dataset.drawn = shown?.cell ?? "";
  });
  function frameCell(context, unit) {
    const [y, x] = [Math.floor(get("cell") / columns), get("cell") % columns];
    const box = [(x * width) / columns, (y * height) / rows, width / columns, height / rows];
    for (const [color, line] of [["#000", 5], ["#fff", 2.5]]) {
      context.strokeStyle = color;
      context.lineWidth = line * unit;
      context.strokeRect(...box);
    }
  }
  function read() {
    if (!shown) return;
    const [y, x] = [Math.floor(shown.cell / columns), shown.cell % columns];
    const parts = [`Query row ${y}, column ${x}${pinned ? " (pinned)" : ""}`];
    if (heatmap) parts.push(`h = ${heatmap[shown.cell].toFixed(2)}`);
    if (shown.values) {
      const best = shown.values.reduce((a, v, i, all) => (v > all[a] ? i : a), 0);
      const place = best % cells;
      parts.push(
        `largest affinity ${shown.values[best].toPrecision(2)} in frame ${panels[1 + Math.floor(best / cells)].t}, ` +
          `row ${Math.floor(place / columns)}, column ${place % columns}`,
        `an even spread would be ${(1 / shown.values.length).toPrecision(2)}`,
      );
    }
    if (shown.text) parts.push(shown.text);
    reading.textContent = parts.join("; ") + ".";
  }
  function tell(answer) {
    shown = answer;
    read();
    paint();
  }
  function probe(cell) {
    if (!get("table").byteLength) {
      if (cell === get("answered")) return tell({ cell, values: floats(get("answer")) }); // it came with the widget
      return ask(cell);
    }
    const answer = look(cell);
    set("cell", answer.cell); // the cell that the answer is of
    tell(answer);
  }

  // ---- moving
  let pinned = false;
  function update() {
    heat.setAttribute("aria-pressed", get("view") === "heatmap");
    for (const { name, button } of scales) button.setAttribute("aria-pressed", get("scale") === name);
    paint();
  }
  function moved() {
    update(); // the frame around the cell follows at once, the affinity when it comes
    probe(get("cell"));
  }
  const pin = (on) => {
    pinned = on;
    read();
  };
  const step = get("table").byteLength ? get("stride") : 1;
  function move(down, right) {
    const [y, x] = [Math.floor(get("cell") / columns) + step * down, (get("cell") % columns) + step * right];
    if (y >= 0 && y < rows && x >= 0 && x < columns) set("cell", y * columns + x);
  }
  function point(event) {
    const box = query.canvas.getBoundingClientRect();
    const inside = (part, whole, n) => Math.max(0, Math.min(n - 1, Math.floor((n * part) / whole)));
    const y = inside(event.clientY - box.top, box.height, rows);
    set("cell", y * columns + inside(event.clientX - box.left, box.width, columns));
  }
  query.canvas.onpointermove = (event) => pinned || point(event);
  query.canvas.onpointerdown = (event) => {
    if (!pinned) point(event);
    pin(!pinned);
  };
  heat.onclick = () => set("view", get("view") === "heatmap" ? "affinity" : "heatmap");
  const order = Object.keys(SCALES);
  const keys = {
    ArrowUp: () => move(-1, 0),
    ArrowDown: () => move(1, 0),
    ArrowLeft: () => move(0, -1),
    ArrowRight: () => move(0, 1),
    Enter: () => pin(!pinned),
    h: () => heatmap && heat.onclick(),
    c: () => set("scale", order[(order.indexOf(get("scale")) + 1) % order.length]),
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    if (event.key === "Enter" && event.target.tagName === "BUTTON") return; // the button's own key
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });

  model.on("msg:custom", hear);
  model.on("change:cell", moved);
  model.on("change:view change:scale", update);
  const resized = new ResizeObserver(() => paint());
  resized.observe(root);
  moved();
  return () => {
    clearTimeout(late);
    resized.disconnect();
    model.off("msg:custom", hear);
    model.off("change:cell", moved);
    model.off("change:view change:scale", update);
  };
}

/** 256 colours between the stops of the heat scale. */
function ramp(stops) {
  const points = stops.map(rgb);
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (points.length - 1);
    const k = Math.min(points.length - 2, Math.floor(at));
    return points[k].map((value, c) => value + (at - k) * (points[k + 1][c] - value));
  });
}

/** Values on the grid as an image of that many pixels: dark and clear where 0, bright and opaque where 1. */
function heatImage(values, bright, colors, rows, columns) {
  const image = new ImageData(columns, rows);
  values.forEach((value, i) => {
    const v = Math.max(0, Math.min(1, bright(value)));
    image.data.set([...colors[Math.round(255 * v)], 255 * 0.9 * v ** 0.6], 4 * i);
  });
  const canvas = new OffscreenCanvas(columns, rows);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export default { render };
