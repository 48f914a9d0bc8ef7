// Mask player: draws frame t of the clip under one mask or several, and moves through time.

const HINT = "\u2190 \u2192 or , . frame \u00b7 space or p play \u00b7 s side by side \u00b7 1\u20139 mask \u00b7 + \u2212 opacity \u00b7 f fill";
const SVG = "http://www.w3.org/2000/svg";

function render({ model, el }) {
  const get = (name) => model.get(name);
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const [width, height, names] = [get("width"), get("height"), get("names")];
  const last = get("frames").length - 1;
  const several = names.length > 1;
  const limit = Math.max(32, Math.floor(3e8 / (4 * width * height))); // bitmaps: at most about 300 MB
  const frame = remember((t) => decode(get("frames")[t], "image/jpeg"), limit);
  const label = remember((key) => {
    const [i, t] = key.split(" ");
    const png = get("masks")[i][t];
    return png.byteLength ? tint(png, get("palette")) : null;
  }, limit);

  // ---- what there is on the page
  const panels = names.map((name, i) => {
    const canvas = node("canvas", { role: "img" });
    const caption = node("figcaption");
    return { name, i, canvas, caption, figure: node("figure", {}, canvas, caption) };
  });
  const play = node("button", { class: "icon", type: "button" });
  const slider = node("input", { type: "range", class: "time", min: 0, max: last, step: 1, "aria-label": "frame" });
  const position = node("output", { class: "position" });
  const choices = names.map((name, i) => node("button", { type: "button", title: `show only: ${name} (${i + 1})` }, name));
  const side = node("button", { type: "button", title: "all masks side by side (s)" }, "side by side");
  const fill = node("button", { type: "button", title: "tint the objects (f)" }, "fill");
  const alpha = node("input", { type: "range", min: 0, max: 1, step: 0.05 });
  const curve = drawCurve(get("scores"), last, get("series"), get("dashes"));
  const axis = node("div", { class: "axis faint", "aria-hidden": "true" }, ...["1", get("score"), "0"].map((text) => node("span", {}, text)));
  const opacity = node("label", { title: "opacity of the tint (+ \u2212)" }, "opacity ", alpha);
  const masks = node("span", { class: "choices", role: "group", "aria-label": "masks" }, ...choices, side);
  const root = node(
    "div",
    { class: "vosnb", tabindex: 0, role: "group", "aria-label": get("alt"), "data-lm-suppress-shortcuts": "true" },
    node("div", { class: "panels" }, ...panels.map((panel) => panel.figure)),
    node(
      "div",
      { class: "timeline" },
      ...(curve ? [axis, node("div", { class: "curve", title: "click to go there" }, curve.svg), node("span")] : []),
      ...[play, slider, position],
    ),
    node("div", { class: "bar" }, ...(several ? [masks] : []), ...(names[0] ? [fill, opacity] : [])),
    node("small", { class: "hint" }, HINT),
  );
  el.append(root);

  // ---- drawing
  const draw = latest(async () => {
    const t = get("frame");
    const shown = panels.filter((panel) => get("side_by_side") || panel.name === get("chosen"));
    for (const panel of panels) panel.figure.hidden = !shown.includes(panel);
    const [image, ...tints] = await Promise.all([frame(t), ...shown.map(({ i }) => names[i] && label(`${i} ${t}`))]);
    shown.forEach(({ name, i, canvas, caption }, n) => {
      const context = fit(canvas, width, height);
      context.drawImage(image, 0, 0, width, height);
      if (tints[n]) {
        context.globalAlpha = get("fill") ? get("alpha") : 0;
        context.imageSmoothingEnabled = false;
        context.drawImage(tints[n], 0, 0, width, height);
        context.imageSmoothingEnabled = true;
        context.globalAlpha = 1;
        outline(context, get("drawings")[i][t], get("palette"), get("dashes"), width / Math.max(1, canvas.clientWidth));
      }
      const value = get("scores")[i][t] ?? null;
      const missing = name && !tints[n] ? "no mask here" : "";
      caption.replaceChildren(
        ...(curve && get("scores")[i].length ? [curve.sample(i)] : []),
        [name, value === null ? "" : `${get("score")} ${value.toFixed(2)}`, missing].filter(Boolean).join("  "),
      );
      const objects = get("drawings")[i][t]?.names.map(([k]) => k) ?? [];
      canvas.setAttribute("aria-label", `frame ${t}, ${name || "no mask"}, ${objects.length} objects ${objects.join(", ")}`);
    });
    root.dataset.drawn = t;
    root.dataset.shown = shown.map(({ name }) => name).join(",");
    for (const near of [t + 1, t - 1].filter((n) => n >= 0 && n <= last)) {
      frame(near); // decoded in the meantime, so that the next step is prompt
      for (const { i } of shown) if (names[i]) label(`${i} ${near}`);
    }
  });
  function update() {
    const t = get("frame");
    slider.value = t;
    slider.setAttribute("aria-valuetext", `frame ${t} of ${last}`);
    position.textContent = `${t} / ${last}`;
    alpha.value = get("alpha");
    side.setAttribute("aria-pressed", get("side_by_side"));
    fill.setAttribute("aria-pressed", get("fill"));
    choices.forEach((choice, i) => choice.setAttribute("aria-pressed", !get("side_by_side") && names[i] === get("chosen")));
    curve?.move(t);
    draw();
  }

  // ---- moving
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  function playing(on) {
    clearInterval(timer);
    // Whoever asked for less motion gets two frames a second: a sequence of pictures, not a film.
    timer = on ? setInterval(() => go(get("frame") === last ? 0 : get("frame") + 1), 1000 / (calm.matches ? 2 : get("fps"))) : 0;
    play.textContent = on ? "\u275a\u275a" : "\u25b6";
    play.title = on ? "pause (space, p)" : "play (space, p)";
    play.setAttribute("aria-label", on ? "pause" : "play");
  }
  const go = (t) => set("frame", Math.max(0, Math.min(last, t)));
  const choose = (i) => {
    if (!names[i]) return;
    model.set("side_by_side", false);
    set("chosen", names[i]);
  };
  const fade = (step) => set("alpha", Math.max(0, Math.min(1, Math.round(20 * get("alpha") + step) / 20)));
  const toggle = (name) => set(name, !get(name));
  const keys = {
    ArrowLeft: () => go(get("frame") - 1),
    ArrowRight: () => go(get("frame") + 1),
    Home: () => go(0),
    End: () => go(last),
    " ": () => playing(!timer),
    ",": () => go(get("frame") - 1), // these three as in the scribble pad, where arrows move the pen
    ".": () => go(get("frame") + 1),
    p: () => playing(!timer),
    s: () => several && toggle("side_by_side"),
    f: () => toggle("fill"),
    "+": () => fade(1),
    "=": () => fade(1),
    "-": () => fade(-1),
  };
  for (let i = 0; i < 9; i++) keys[i + 1] = () => choose(i);
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    if (event.key === " " && event.target.tagName === "BUTTON") return; // the button's own key
    if (event.target === alpha && /^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  play.onclick = () => playing(!timer);
  slider.oninput = () => go(+slider.value);
  alpha.oninput = () => set("alpha", +alpha.value);
  side.onclick = () => toggle("side_by_side");
  fill.onclick = () => toggle("fill");
  choices.forEach((choice, i) => (choice.onclick = () => choose(i)));
  curve?.listen(go);

  playing(false);
  model.on("change:frame change:chosen change:side_by_side change:alpha change:fill", update);
  const resized = new ResizeObserver(() => draw());
  resized.observe(root);
  update();
  return () => {
    clearInterval(timer);
    resized.disconnect();
    model.off("change:frame change:chosen change:side_by_side change:alpha change:fill", update);
  };
}

/** Scores over time as an SVG with a cursor, or null where no mask has scores. */
function drawCurve(scores, last, series, dashes) {
  if (!scores.some((values) => values.length)) return null;
  const make = (tag, attributes, parent) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  };
  const x = (t) => (last ? (1000 * t) / last : 0);
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 -4 1000 108", preserveAspectRatio: "none", "aria-hidden": "true" }))
    svg.setAttribute(name, value);
  const style = (i) => ({ stroke: series[i % series.length], "stroke-dasharray": dashes[i % dashes.length].map((d) => 2 * d).join(" ") });
  for (const value of [0, 0.5, 1]) make("line", { class: "rule", x1: 0, x2: 1000, y1: 100 * value, y2: 100 * value }, svg);
  scores.forEach((values, i) => {
    let pen = "M"; // lifted where there is no score
    const path = values.map((value, t) => {
      const step = value === null ? "" : `${pen}${x(t)} ${100 - 100 * value}`;
      pen = value === null ? "M" : "L";
      return step;
    });
    make("path", { d: path.join(""), ...style(i) }, svg);
  });
  const cursor = make("line", { class: "cursor", y1: -4, y2: 104 }, svg);
  return {
    svg,
    move(t) {
      cursor.setAttribute("x1", x(t));
      cursor.setAttribute("x2", x(t));
    },
    sample(i) {
      const sample = document.createElementNS(SVG, "svg");
      sample.setAttribute("class", "sample");
      make("line", { x1: 0, x2: 26, y1: 5, y2: 5, ...style(i) }, sample);
      return sample;
    },
    listen(go) {
      const jump = (event) => {
        const box = svg.getBoundingClientRect();
        go(Math.round(((event.clientX - box.left) / box.width) * last));
      };
      svg.onpointerdown = (event) => {
        svg.setPointerCapture(event.pointerId);
        jump(event);
      };
      svg.onpointermove = (event) => event.buttons && jump(event);
    },
  };
}

export default { render };
