// Scribble pad: strokes and boxes over a clip, and the masks that Python answers with, drawn over every frame.

const HINT =
  "draw with mouse, pen or finger \u00b7 or arrows (shift: finely) and space \u00b7 Esc drop it \u00b7 b box or stroke \u00b7 " +
  "0 background \u00b7 1\u20139 object \u00b7 n new object \u00b7 u undo \u00b7 , . frame \u00b7 p play \u00b7 + \u2212 opacity";
const NOBODY = "No kernel answers in this page: strokes can be painted, saved and loaded, and the masks stay as they are.";
const PATIENCE = 10000; // ms after which the reader is asked about the kernel
const INK = 3; // CSS pixels
const BOX_DASH = [4, 3]; // of a box's sides, on and off, in widths of a stroke
const GROUND = "#ffffff";
const BOX = 3; // CSS pixels that a box is wide and high at least
const STEP = 0.02; // of the frame, that an arrow key moves the cursor

function render({ model, el }) {
  const get = (name) => model.get(name);
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const [width, height] = [get("width"), get("height")];
  const last = get("frames").length - 1;
  const limit = Math.max(32, Math.floor(3e8 / (4 * width * height))); // bitmaps: at most about 300 MB
  const frame = remember((t) => decode(get("frames")[t], "image/jpeg"), limit);
  let label; // of the latest answer

  // ---- what there is on the page
  const button = (text, title, attributes = {}) => node("button", { type: "button", title, ...attributes }, text);
  const canvas = node("canvas", { role: "img" });
  const caption = node("figcaption", { "aria-live": "polite" });
  const choices = node("span", { class: "choices", role: "group", "aria-label": "what to paint" });
  const more = button("+ object", "one more object to paint (n)");
  const tools = ["stroke", "box"].map((tool) => {
    const choice = button(tool, tool === "box" ? "drag a box around an object (b)" : "paint strokes, or click (b)");
    choice.onclick = () => take(tool);
    return choice;
  });
  const kinds = node("span", { class: "tools", role: "group", "aria-label": "tool" }, ...tools);
  const undo = button("undo", "take the last stroke or box back (u)");
  const clear = button("clear", "take all strokes and boxes back");
  const save = button("save", "save strokes and boxes as DAVIS json");
  const saveMask = button("save mask", "save this frame's mask as PNG, which vosnb run --mask takes");
  const load = button("load", "load strokes from DAVIS json");
  const file = node("input", { type: "file", accept: ".json,application/json", hidden: "" });
  const play = button("", "", { class: "icon" });
  const slider = node("input", { type: "range", class: "time", min: 0, max: last, step: 1, "aria-label": "frame" });
  const marks = node("div", { class: "marks", "aria-hidden": "true" }); // where in time the strokes are
  const position = node("output", { class: "position" });
  const alpha = node("input", { type: "range", min: 0, max: 1, step: 0.05 });
  const opacity = node("label", { title: "opacity of the masks (+ \u2212)" }, "opacity ", alpha);
  const reading = node("p", { class: "reading", role: "status" });
  const trouble = node("p", { class: "trouble", role: "alert" });
  const root = node(
    "div",
    { class: "vosnb pad", tabindex: 0, role: "group", "aria-label": get("alt"), "data-lm-suppress-shortcuts": "true" },
    node("div", { class: "bar" }, choices, more, kinds),
    node("figure", {}, canvas, caption),
    node("div", { class: "bar" }, play, node("div", { class: "track" }, slider, marks), position),
    node("div", { class: "bar" }, undo, clear, save, load, file, saveMask, opacity),
    reading,
    trouble,
    node("small", { class: "hint" }, HINT),
  );
  el.append(root);

  // ---- strokes: ink at once, one message each
  let stroke = null; // the one being painted
  const sent = new Map(); // messages on their way: id -> { strokes, start }
  let wrong = ""; // what went wrong last
  const strokes = () => [...get("steps").flat(), ...[...sent.values()].flatMap((message) => message.strokes)];
  function tell(type, content = {}) {
    const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
    sent.set(id, { strokes: content.strokes ?? [], start: performance.now() });
    model.send({ type, id, ...content });
    setTimeout(read, PATIENCE + 1);
    update();
  }
  let took; // ms from the end of a stroke to its answer on the screen
  async function heard() {
    const { id, trouble } = get("heard");
    const message = sent.get(id);
    wrong = trouble ?? ""; // shown in every view of the pad
    sent.delete(id);
    update();
    if (!message) return;
    await draw();
    took = message.strokes.length && !wrong ? performance.now() - message.start : undefined;
    read();
  }
  function local(steps) {
    // where nobody hears messages
    set("objects", Math.max(get("objects"), ...steps.flat().map((one) => one.object)));
    set("steps", steps);
  }
  const act = {
    add: (added) => (get("live") ? tell("add", { strokes: added }) : local([...get("steps"), added])),
    undo: () => (get("live") ? tell("undo") : local(get("steps").slice(0, -1))),
    clear: () => (get("live") ? tell("clear") : local([])),
    load: (davis) => (get("live") ? tell("load", { davis }) : local([...get("steps"), fromDavis(davis, last + 1)])),
  };
  function begin(place, object = get("object")) {
    playing(false);
    wrong = "";
    stroke = { frame: get("frame"), object, path: [place] };
    if (get("tool") === "box" && object) Object.assign(stroke, { path: [place, place], box: true });
    draw();
  }
  function extend(place) {
    if (stroke.box) {
      stroke.path[1] = place;
      return draw();
    }
    const [x, y] = stroke.path.at(-1);
    if (Math.hypot((place[0] - x) * width, (place[1] - y) * height) < 0.5) return; // half a pixel
    stroke.path.push(place);
    draw();
  }
  function finish() {
    if (!stroke) return;
    const done = stroke;
    stroke = null;
    const [across, down] = [0, 1].map((i) => Math.abs(done.path.at(-1)[i] - done.path[0][i]) * canvas.clientWidth);
    if (!done.box || Math.min(across, (down * height) / width) >= BOX) return act.add([done]);
    wrong = "A box goes from one corner to the opposite one: drag it, or move between the two.";
    update();
  }
  function drop() {
    stroke = null;
    say();
    draw();
  }

  // ---- drawing
  const draw = latest(async () => {
    const t = get("frame");
    const [image, tinted] = await Promise.all([frame(t), label(t)]);
    const context = fit(canvas, width, height);
    const unit = width / Math.max(1, canvas.clientWidth);
    context.drawImage(image, 0, 0, width, height);
    if (tinted) {
      context.globalAlpha = get("alpha");
      context.imageSmoothingEnabled = false;
      context.drawImage(tinted, 0, 0, width, height);
      context.imageSmoothingEnabled = true;
      context.globalAlpha = 1;
      outline(context, get("drawings")[t], get("palette"), get("dashes"), unit);
    }
    const here = [...strokes(), ...(stroke ? [stroke] : [])].filter((one) => one.frame === t);
    for (const one of here) ink(context, one, unit);
    if (cursor.shown) cross(context, unit);
    canvas.setAttribute("aria-label", `frame ${t}, ${tinted ? "with" : "without"} masks, ${count(here)}`);
    root.dataset.drawn = t;
    root.dataset.inked = here.length;
    for (const near of [t + 1, t - 1].filter((n) => n >= 0 && n <= last)) [frame(near), label(near)]; // soon wanted
  });
  const color = (k) => (k ? get("palette")[(k - 1) % get("palette").length] : GROUND);
  const dash = (k) => (k ? get("dashes")[(k - 1) % get("dashes").length] : []);
  /** A stroke or a box: a dark rim, its colour, and its number where it begins; a box is always dashed. */
  function ink(context, { object, path, box }, unit) {
    const points = (box ? around(path) : path).map(([x, y]) => [x * width, y * height]);
    const line = new Path2D();
    for (const point of points) line.lineTo(...point);
    if (points.length === 1) line.lineTo(...points[0]); // a dot, by its round cap
    context.lineCap = context.lineJoin = "round";
    for (const [tone, thick, pattern] of [["#000c", INK + 2, []], [color(object), INK, box ? BOX_DASH : dash(object)]]) {
      context.setLineDash(pattern.map((length) => 2 * length * unit));
      context.strokeStyle = tone;
      context.lineWidth = thick * unit;
      context.stroke(line);
    }
    context.setLineDash([]);
    context.lineCap = "butt";
    write(context, object || "bg", points[0][0] - 9 * unit, points[0][1], unit);
  }
  function write(context, text, x, y, unit) {
    context.font = `600 ${12 * unit}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3 * unit;
    context.strokeStyle = "#000c";
    context.fillStyle = "#fff";
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
  /** The keyboard's cursor: cross hairs with a gap, and the number of what it paints. */
  function cross(context, unit) {
    const [x, y] = [cursor.x * width, cursor.y * height];
    const line = new Path2D();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      line.moveTo(x + 4 * unit * dx, y + 4 * unit * dy);
      line.lineTo(x + 14 * unit * dx, y + 14 * unit * dy);
    }
    for (const [tone, thick] of [["#000", 5], [color(get("object")), 2.5]]) {
      context.strokeStyle = tone;
      context.lineWidth = thick * unit;
      context.stroke(line);
    }
    write(context, get("object") || "bg", x + 14 * unit, y - 12 * unit, unit);
  }
  function read() {
    const [all, waiting] = [strokes(), get("waiting")];
    const frames = [...new Set(all.map((one) => one.frame))].sort((a, b) => a - b);
    const parts = [count(all)];
    if (frames.length) parts[0] += ` on ${plural("frame", frames.length)} ${frames.join(", ")}`;
    const late = [...sent.values()].some(({ start }) => performance.now() - start > PATIENCE);
    if (sent.size) parts.push(late ? "no answer yet: is the kernel running?" : "waiting for the answer");
    else if (waiting) parts.push("not all answered");
    else if (all.length && get("seconds") !== null) {
      parts.push(`answer in ${Math.round(1000 * get("seconds"))} ms`);
      if (took) parts.push(`on the screen after ${Math.round(took)} ms`);
    }
    reading.textContent = parts.join("; ") + (late ? "" : ".") + (get("live") ? "" : " " + NOBODY);
    root.setAttribute("aria-busy", sent.size > 0);
    root.dataset.strokes = all.length;
    root.dataset.sent = sent.size;
    trouble.textContent = wrong;
    marks.replaceChildren(
      ...frames.map((t) => {
        const mark = node("i");
        mark.style.left = `${(100 * t) / Math.max(1, last)}%`;
        return mark;
      }),
    );
  }
  function choose() {
    while (choices.children.length <= get("objects")) {
      const k = choices.children.length;
      const swatch = node("i", { class: "swatch" });
      swatch.style.background = color(k);
      const choice = button(swatch, k ? `paint object ${k}${k < 10 ? ` (${k})` : ""}` : "paint background (0)");
      choice.append(k ? `object ${k}` : "background");
      choice.onclick = () => paint(k);
      choices.append(choice);
    }
    [...choices.children].forEach((choice, k) => choice.setAttribute("aria-pressed", k === get("object")));
  }
  function say() {
    const boxed = get("tool") === "box" && get("object");
    const what = get("object") ? `${boxed ? "a box around" : "painting"} object ${get("object")}` : "painting background";
    const place = `x ${Math.round(100 * cursor.x)} %, y ${Math.round(100 * cursor.y)} %`;
    const hand = cursor.shown ? `, pen ${stroke ? "down" : "up"} at ${place}` : "";
    caption.textContent = `frame ${get("frame")}, ${what}${hand}`;
    for (const choice of tools) choice.setAttribute("aria-pressed", choice.textContent === get("tool"));
  }
  function update() {
    const t = get("frame");
    slider.value = t;
    slider.setAttribute("aria-valuetext", `frame ${t} of ${last}`);
    position.textContent = `${t} / ${last}`;
    alpha.value = get("alpha");
    choose();
    say();
    read();
    draw();
  }
  function answered() {
    label = remember((t) => (get("labels").length ? tint(get("labels")[t], get("palette")) : null), limit);
    update();
  }

  // ---- mouse, pen, touch
  function at(event) {
    const box = canvas.getBoundingClientRect(); // CSS scales the canvas
    const inside = (part, whole) => Math.max(0, Math.min(1, Math.round((1e5 * part) / whole) / 1e5));
    return [inside(event.clientX - box.left, box.width), inside(event.clientY - box.top, box.height)];
  }
  let pointer = null; // the one that paints: a second finger does not
  canvas.onpointerdown = (event) => {
    const eraser = event.pointerType === "pen" && event.button === 5; // the pen's other end paints background
    if (pointer !== null || (event.button !== 0 && !eraser)) return;
    finish(); // what the keyboard had begun
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    cursor.shown = false;
    begin(at(event), eraser ? 0 : undefined);
    say();
  };
  canvas.onpointermove = (event) => {
    if (event.pointerId !== pointer || !stroke) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const one of between.length ? between : [event]) extend(at(one));
  };
  canvas.onpointerup = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    finish();
  };
  canvas.onpointercancel = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    drop();
  };

  // ---- keyboard
  const cursor = { x: 0.5, y: 0.5, shown: false };
  function move(dx, dy, fine) {
    const step = fine ? STEP / 5 : STEP;
    const inside = (value) => Math.max(0, Math.min(1, Math.round(1e5 * value) / 1e5));
    Object.assign(cursor, { x: inside(cursor.x + dx * step), y: inside(cursor.y + dy * step), shown: true });
    if (stroke) extend([cursor.x, cursor.y]);
    say();
    draw();
  }
  function pen() {
    if (pointer !== null) return;
    cursor.shown = true;
    if (stroke) finish();
    else begin([cursor.x, cursor.y]);
    say();
  }
  function go(t) {
    finish(); // a stroke stays on its frame
    set("frame", Math.max(0, Math.min(last, t)));
  }
  function paint(k) {
    if (k > get("objects")) return;
    finish();
    set("object", k);
  }
  function take(tool) {
    finish();
    set("tool", tool);
  }
  function another() {
    if (get("objects") >= 254) return;
    set("objects", get("objects") + 1);
    paint(get("objects"));
  }
  const fade = (step) => set("alpha", Math.max(0, Math.min(1, Math.round(20 * get("alpha") + step) / 20)));
  const keys = {
    ArrowLeft: (fine) => move(-1, 0, fine),
    ArrowRight: (fine) => move(1, 0, fine),
    ArrowUp: (fine) => move(0, -1, fine),
    ArrowDown: (fine) => move(0, 1, fine),
    " ": pen,
    Escape: drop,
    ",": () => go(get("frame") - 1),
    ".": () => go(get("frame") + 1),
    Home: () => go(0),
    End: () => go(last),
    p: () => playing(!timer),
    b: () => take(get("tool") === "box" ? "stroke" : "box"),
    n: another,
    u: () => act.undo(),
    "+": () => fade(1),
    "=": () => fade(1),
    "-": () => fade(-1),
  };
  for (let k = 0; k < 10; k++) keys[k] = () => paint(k);
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    if (event.key === " " && event.target.tagName === "BUTTON") return; // the button's own key
    if (event.target.type === "range" && /^(Arrow|Home|End)/.test(event.key)) return;
    if (event.key === "Escape" && !stroke) return; // JupyterLab's
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat && event.key === " ") return; // held down: one stroke, not many
    keys[event.key](event.shiftKey);
  });
  // After a click the keys go on painting; who reached the button by keyboard stays there.
  root.addEventListener("click", (event) => event.detail && event.target.closest("button") && root.focus({ preventScroll: true }));

  // ---- time
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  function playing(on) {
    clearInterval(timer);
    // Whoever asked for less motion gets two frames a second: a sequence of pictures, not a film.
    timer = on ? setInterval(() => go(get("frame") === last ? 0 : get("frame") + 1), 1000 / (calm.matches ? 2 : get("fps"))) : 0;
    play.textContent = on ? "\u275a\u275a" : "\u25b6";
    play.title = on ? "pause (p)" : "play (p)";
    play.setAttribute("aria-label", on ? "pause" : "play");
  }

  // ---- files
  save.onclick = () => {
    const text = JSON.stringify(toDavis(strokes(), last + 1, get("sequence")));
    download(new Blob([text], { type: "application/json" }), `${get("sequence")}-scribbles.json`);
  };
  const first = get("steps"); // all that the masks of a page without a kernel know
  saveMask.onclick = () => {
    const t = get("frame");
    const late = sent.size || get("waiting") || (!get("live") && get("steps") !== first);
    wrong = "";
    if (late) wrong = "The last strokes have no mask yet.";
    else if (!get("drawings")[t]?.names.length) wrong = `Frame ${t} has no mask yet: draw a box or a stroke of an object there.`;
    else {
      download(new Blob([get("labels")[t]], { type: "image/png" }), `${get("sequence")}-${String(t).padStart(5, "0")}.png`);
    }
    read();
  };
  load.onclick = () => file.click();
  file.onchange = async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    try {
      act.load(JSON.parse(await chosen.text()));
      wrong = "";
    } catch (error) {
      wrong = error instanceof SyntaxError ? `${chosen.name} is not json.` : error.message;
    }
    file.value = ""; // the same file may be chosen again
    update();
  };

  play.onclick = () => playing(!timer);
  slider.oninput = () => go(+slider.value);
  alpha.oninput = () => set("alpha", +alpha.value);
  more.onclick = another;
  undo.onclick = () => act.undo();
  clear.onclick = () => act.clear();

  playing(false);
  const moved = "change:frame change:object change:objects change:alpha change:tool change:steps change:waiting change:seconds";
  model.on(moved, update);
  model.on("change:labels", answered);
  model.on("change:heard", heard);
  const resized = new ResizeObserver(() => draw());
  resized.observe(root);
  answered();
  return () => {
    clearInterval(timer);
    resized.disconnect();
    model.off(moved, update);
    model.off("change:labels", answered);
    model.off("change:heard", heard);
  };
}

const plural = (word, n) => (n === 1 ? word : `${word}s`);

/** "1 box, 2 strokes". */
function count(all) {
  const boxes = all.filter((one) => one.box).length;
  const strokes = all.length - boxes;
  const parts = boxes ? [`${boxes} ${boxes === 1 ? "box" : "boxes"}`] : [];
  if (strokes || !boxes) parts.push(`${strokes} ${plural("stroke", strokes)}`);
  return parts.join(", ");
}

/** The way around a box with these opposite corners, from its upper left one. */
function around([[x, y], [u, v]]) {
  const [left, top, right, bottom] = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
  return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
}

/** Strokes as DAVIS's interactive json holds them: a list of strokes for each frame; a box has a third key. */
function toDavis(strokes, frames, sequence) {
  const scribbles = Array.from({ length: frames }, () => []);
  for (const { frame, object, path, box } of strokes) {
    scribbles[frame].push({ path, object_id: object, ...(box && { box }) });
  }
  return { sequence, scribbles };
}

/** The way back, where no kernel checks what the file holds. */
function fromDavis(davis, frames) {
  const number = (value, most) => Number.isInteger(value) && value >= 0 && value <= most;
  const inside = (point) => point.length === 2 && point.every((value) => value >= 0 && value <= 1);
  try {
    if (davis.scribbles.length !== frames) throw 0;
    const known = ({ object_id: object, path, box = false }, frame) => ({ frame, object, path, box });
    const strokes = davis.scribbles.flatMap((list, frame) => list.map((one) => known(one, frame)));
    const apart = ([[x, y], [u, v], ...more]) => x !== u && y !== v && !more.length;
    const boxed = ({ object, path, box }) => box === false || (box === true && object > 0 && apart(path));
    const fits = ({ object, path }) => number(object, 254) && path.length && path.every(inside);
    if (strokes.every((one) => fits(one) && boxed(one))) return strokes;
  } catch {} // whatever is missing, it is said below
  throw new Error(`these are no DAVIS scribbles for a clip of ${frames} frames.`);
}

export default { render };
