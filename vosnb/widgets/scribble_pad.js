// Scribble pad: strokes and boxes over a clip, and the masks that Python answers with, drawn over every frame.

const HINT =
  "draw with mouse, pen or finger \u00b7 or arrows (shift: finely) and space \u00b7 Esc drop it \u00b7 e eraser \u00b7 b box \u00b7 " +
  "[ ] brush size \u00b7 0 background \u00b7 1\u20139 object \u00b7 n new object \u00b7 u undo \u00b7 r redo \u00b7 z x zoom (or the wheel, once " +
  "you have clicked) \u00b7 f whole frame \u00b7 m move it (or shift and drag) \u00b7 , . frame \u00b7 p play \u00b7 s which frame next \u00b7 " +
  "hold c for before \u00b7 + \u2212 opacity";
const NOBODY = "No kernel answers in this page: strokes can be painted, saved and loaded, and the masks stay as they are.";
const PATIENCE = 10000; // ms after which the reader is asked about the kernel
const INK = 3; // CSS pixels
const ZOOM = 16; // at most
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
  const TOOLS = {
    stroke: ["brush", "paint strokes, or click"],
    eraser: ["eraser", "take away what is too much: strokes of the background (e)"],
    box: ["box", "drag a box around an object (b)"],
  };
  const tools = Object.entries(TOOLS).map(([tool, [text, title]]) => {
    const choice = button(text, title);
    choice.onclick = () => take(tool);
    return choice;
  });
  const brush = node("input", { type: "range", class: "brush", min: 1, max: 40, step: 1 });
  const broad = node("output", { class: "size" });
  const size = node("label", { title: "width of brush and eraser, in pixels of the video ( [ ] )" }, "size ", brush, broad);
  const kinds = node("span", { class: "tools", role: "group", "aria-label": "tool" }, ...tools);
  const ring = node("i", { class: "ring", "aria-hidden": "true" }); // what the brush would paint
  const out = button("\u2212", "zoom out (x)", { class: "icon", "aria-label": "zoom out" });
  const closer = button("+", "zoom in (z)", { class: "icon", "aria-label": "zoom in" });
  const whole = button("100 %", "the whole frame (f)");
  const hand = button("move", "drag the zoomed frame instead of painting (m)");
  const earlier = button("before", "hold: the masks before the last answer (c)");
  const next = button("which frame next?", "go to the frame that most needs you (s)");
  const undo = button("undo", "take the last stroke or box back (u)");
  const redo = button("redo", "bring back what was taken back (r)");
  const clear = button("clear", "take all strokes and boxes back");
  const save = button("save \u2026", "save masks, scribbles or a video");
  const KINDS = {
    mask: ["mask of this frame", "a PNG, which vosnb run --mask takes"],
    scribbles: ["scribbles", "strokes and boxes as DAVIS json, which vosnb run --scribbles and load take"],
    masks: ["all masks", "a zip of one PNG for each frame"],
    video: ["video", "the clip under its masks, to look at in any player"],
    coco: ["COCO", "the masks as json for other programs"],
  };
  const fileKinds = Object.entries(KINDS)
    .filter(([what]) => get("live") || what in { mask: 1, scribbles: 1 })
    .map(([what, [text, title]]) => {
      const choice = button(text, title);
      choice.onclick = () => (get("live") ? tell("save", { what }) : localFiles[what]());
      return choice;
    });
  const menu = node("div", { class: "bar menu", role: "group", "aria-label": "save", hidden: "" }, ...fileKinds);
  const load = button("load", "load strokes from DAVIS json");
  const file = node("input", { type: "file", accept: ".json,application/json", hidden: "" });
  const play = button("", "", { class: "icon" });
  const slider = node("input", { type: "range", class: "time", min: 0, max: last, step: 1, "aria-label": "frame" });
  const marks = node("div", { class: "marks", "aria-hidden": "true" }); // where in time the strokes are
  const position = node("output", { class: "position" });
  const alpha = node("input", { type: "range", min: 0, max: 1, step: 0.05 });
  const opacity = node("label", { title: "opacity of the masks (+ \u2212)" }, "opacity ", alpha);
  const bar = node("progress", { "aria-hidden": "true" }); // the words beside it say the same
  const way = node("p", { class: "way", hidden: "" }, bar, node("span"));
  const advice = node("p", { class: "advice", role: "status" });
  const reading = node("p", { class: "reading", role: "status" });
  const trouble = node("p", { class: "trouble", role: "alert" });
  const root = node(
    "div",
    { class: "vosnb pad", tabindex: 0, role: "group", "aria-label": get("alt"), "data-lm-suppress-shortcuts": "true" },
    node("div", { class: "bar" }, choices, more),
    node("div", { class: "bar" }, kinds, size, undo, redo, clear),
    node("figure", { style: `max-width: min(48rem, ${(70 * width) / height}vh)` }, node("div", { class: "sheet" }, canvas, ring), caption),
    node("div", { class: "bar" }, play, node("div", { class: "track" }, slider, marks), position),
    node("div", { class: "bar" }, "zoom", out, whole, closer, hand, earlier, opacity),
    node("div", { class: "bar" }, ...(get("live") && last ? [next] : []), save, load, file),
    menu,
    way,
    advice,
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
    sent.set(id, { strokes: content.strokes ?? [], start: type === "save" ? Infinity : performance.now() });
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
  let undone = []; // steps, where nobody hears messages
  function local(steps, taken = []) {
    undone = taken;
    set("objects", Math.max(get("objects"), ...steps.flat().map((one) => one.object)));
    set("steps", steps);
  }
  const act = {
    add: (added) => (get("live") ? tell("add", { strokes: added }) : local([...get("steps"), added])),
    undo: () => (get("live") ? tell("undo") : local(get("steps").slice(0, -1), [...undone, ...get("steps").slice(-1)])),
    redo: () => (get("live") ? tell("redo") : local([...get("steps"), ...undone.slice(-1)], undone.slice(0, -1))),
    clear: () => (get("live") ? tell("clear") : local([], [...undone, ...get("steps").toReversed()])),
    load: (davis) => (get("live") ? tell("load", { davis }) : local([...get("steps"), fromDavis(davis, last + 1)])),
  };
  // While a stroke is drawn nothing is carried: its answer need not wait.
  const hold = (on) => get("live") && get("carried") < get("total") && model.send({ type: on ? "hold" : "go on" });
  function begin(place, object = get("object")) {
    playing(false);
    hold(true);
    wrong = "";
    stroke = { frame: get("frame"), object: get("tool") === "eraser" ? 0 : object, path: [place] };
    if (get("tool") === "box" && object) Object.assign(stroke, { path: [place, place], box: true });
    else stroke.width = get("brush");
    draw();
  }
  function extend(place) {
    if (stroke.box) {
      stroke.path[1] = place;
      return draw();
    }
    const [x, y] = stroke.path.at(-1);
    if (Math.hypot((place[0] - x) * width, (place[1] - y) * height) < 0.5 / view.zoom) return;
    stroke.path.push(place);
    draw();
  }
  function finish() {
    if (!stroke) return;
    const done = stroke;
    stroke = null;
    const [across, down] = [0, 1].map((i) => Math.abs(done.path.at(-1)[i] - done.path[0][i]) * canvas.clientWidth * view.zoom);
    if (!done.box || Math.min(across, (down * height) / width) >= BOX) return act.add([done]);
    hold(false);
    wrong = "A box goes from one corner to the opposite one: drag it, or move between the two.";
    update();
  }
  function drop() {
    stroke = null;
    hold(false);
    say();
    draw();
  }

  // ---- which part of the frame is seen
  const view = { zoom: 1, x: 0, y: 0 }; // magnified; its upper left corner, a fraction of the frame
  function look(x, y, zoom = view.zoom) {
    const inside = (value) => Math.max(0, Math.min(1 - 1 / zoom, value));
    Object.assign(view, { zoom, x: inside(x), y: inside(y) });
    whole.textContent = `${Math.round(100 * zoom)} %`;
    moveFrame(moving);
    root.dataset.zoom = zoom;
    draw();
  }
  /** Magnify so that a place stays where it is on the canvas: by default the cursor's, or the middle. */
  function magnify(by, place = cursor.shown ? [cursor.x, cursor.y] : [0, 1].map((i) => [view.x, view.y][i] + 0.5 / view.zoom)) {
    const zoom = Math.max(1, Math.min(ZOOM, view.zoom * by));
    look(place[0] - ((place[0] - view.x) * view.zoom) / zoom, place[1] - ((place[1] - view.y) * view.zoom) / zoom, zoom);
  }
  let moving = false; // whether the mouse moves the frame
  function moveFrame(on) {
    moving = on && view.zoom > 1;
    hand.setAttribute("aria-pressed", moving);
    canvas.style.cursor = moving ? "grab" : "";
  }

  // ---- drawing
  let before; // { labels, drawings } of the answer before the last
  let comparing = false;
  function compare(on) {
    if (comparing === (on && !!before)) return;
    comparing = on && !!before;
    earlier.setAttribute("aria-pressed", comparing);
    say();
    draw();
  }
  const draw = latest(async () => {
    const t = get("frame");
    const old = comparing && before;
    const shade = !old ? label(t) : old.labels.length ? tint(old.labels[t], get("palette")) : null;
    const [image, tinted] = await Promise.all([frame(t), shade]);
    const context = fit(canvas, width, height);
    const unit = width / Math.max(1, canvas.clientWidth) / view.zoom;
    context.scale(view.zoom, view.zoom);
    context.translate(-view.x * width, -view.y * height);
    context.imageSmoothingEnabled = view.zoom < 4; // closer, one wants to see pixels
    context.drawImage(image, 0, 0, width, height);
    if (tinted) {
      context.globalAlpha = get("alpha");
      context.imageSmoothingEnabled = false;
      context.drawImage(tinted, 0, 0, width, height);
      context.imageSmoothingEnabled = true;
      context.globalAlpha = 1;
      outline(context, (old || { drawings: get("drawings") }).drawings[t], get("palette"), get("dashes"), unit);
    }
    const here = [...strokes(), ...(stroke ? [stroke] : [])].filter((one) => one.frame === t);
    const answered = get("live") && get("labels").length ? get("steps").length - get("waiting") : 0;
    const dry = new Set(get("steps").slice(0, answered).flat());
    for (const one of here) ink(context, one, unit, !dry.has(one));
    if (cursor.shown) cross(context, unit);
    canvas.setAttribute("aria-label", `frame ${t}, ${tinted ? "with" : "without"} masks, ${count(here)}`);
    root.dataset.drawn = t;
    root.dataset.inked = here.length;
    for (const near of [t + 1, t - 1].filter((n) => n >= 0 && n <= last)) [frame(near), label(near)]; // soon wanted
  });
  const color = (k) => (k ? get("palette")[(k - 1) % get("palette").length] : GROUND);
  const dash = (k) => (k ? get("dashes")[(k - 1) % get("dashes").length] : []);
  /** A stroke or a box: a dark rim, its colour, and its number where it begins; a box is always dashed. A stroke is as
   *  wide as its brush while it is wet; then the mask shows what was painted. */
  function ink(context, { object, path, box, width: wide = 0 }, unit, wet) {
    const points = (box ? around(path) : path).map(([x, y]) => [x * width, y * height]);
    const line = new Path2D();
    for (const point of points) line.lineTo(...point);
    if (points.length === 1) line.lineTo(...points[0]); // a dot, by its round cap
    context.lineCap = context.lineJoin = "round";
    if (wet && wide > (INK + 2) * unit) {
      context.globalAlpha = 0.5; // one sees through it what one paints
      context.strokeStyle = color(object);
      context.lineWidth = wide;
      context.stroke(line);
      context.globalAlpha = 1;
    }
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
  /** The keyboard's cursor: cross hairs with a gap, the brush, and the number of what it paints. */
  function cross(context, unit) {
    const [x, y] = [cursor.x * width, cursor.y * height];
    const line = new Path2D();
    if (get("brush") > 4 * unit) line.arc(x, y, get("brush") / 2, 0, 7);
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
    const [carried, total] = [get("carried"), get("total")];
    way.hidden = carried >= total;
    Object.assign(bar, { max: total || 1, value: carried });
    way.lastChild.textContent = `carried through the clip: ${Math.floor((100 * carried) / (total || 1))} %`;
    advice.textContent = get("advice");
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
    root.dataset.carried = `${carried}/${total}`;
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
    const [tool, k] = [get("tool"), get("object")];
    const boxed = tool === "box" && k;
    const what = tool === "eraser" ? "erasing" : k ? `${boxed ? "a box around" : "painting"} object ${get("object")}` : "painting background";
    const place = `x ${Math.round(100 * cursor.x)} %, y ${Math.round(100 * cursor.y)} %`;
    const pen = cursor.shown ? `, pen ${stroke ? "down" : "up"} at ${place}` : "";
    caption.textContent = `frame ${get("frame")}, ${comparing ? "masks before the last answer" : what}${pen}`;
    Object.keys(TOOLS).forEach((name, i) => tools[i].setAttribute("aria-pressed", name === tool));
    brush.value = get("brush");
    broad.textContent = `${get("brush")} px`;
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
  let lastAnswer = { labels: get("labels"), drawings: get("drawings"), number: get("answers") };
  function answered() {
    if (get("answers") !== lastAnswer.number) before = lastAnswer; // a step of a propagation is no answer
    lastAnswer = { labels: get("labels"), drawings: get("drawings"), number: get("answers") };
    label = remember((t) => (get("labels").length ? tint(get("labels")[t], get("palette")) : null), limit);
    update();
  }

  // ---- mouse, pen, touch
  function at(event) {
    const box = canvas.getBoundingClientRect(); // CSS scales the canvas
    const inside = (corner, part, side) => Math.max(0, Math.min(1, Math.round(1e5 * (corner + part / side / view.zoom)) / 1e5));
    return [inside(view.x, event.clientX - box.left, box.width), inside(view.y, event.clientY - box.top, box.height)];
  }
  let dragged = null; // where the frame was taken hold of
  /** Lay the ring under the mouse. */
  function hover(event) {
    const box = canvas.getBoundingClientRect();
    const across = event && get("tool") !== "box" && !moving ? (get("brush") * view.zoom * box.width) / width : 0;
    ring.hidden = across < 6 || event.pointerType === "touch";
    if (ring.hidden) return;
    const corner = (place, edge) => `${place - edge - across / 2}px`;
    Object.assign(ring.style, { left: corner(event.clientX, box.left), top: corner(event.clientY, box.top) });
    ring.style.width = ring.style.height = `${across}px`;
  }
  canvas.onpointerleave = () => hover();
  canvas.addEventListener(
    "wheel",
    (event) => {
      const away = event.deltaY > 0;
      if (stroke || dragged || !event.deltaY || (away && view.zoom === 1)) return;
      if (!event.ctrlKey && !root.contains(document.activeElement)) return; // the page is scrolled
      event.preventDefault();
      magnify(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 150), at(event));
      hover(event);
    },
    { passive: false },
  );
  let pointer = null; // the one that paints: a second finger does not
  canvas.onpointerdown = (event) => {
    const eraser = event.pointerType === "pen" && event.button === 5; // the pen's other end paints background
    const pan = view.zoom > 1 && (event.button === 1 || (event.button === 0 && (moving || event.shiftKey)));
    if (pointer !== null || (event.button !== 0 && !eraser && !pan)) return;
    finish(); // what the keyboard had begun
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    if (pan) {
      event.preventDefault();
      dragged = at(event);
      return;
    }
    cursor.shown = false;
    begin(at(event), eraser ? 0 : undefined);
    say();
  };
  canvas.onpointermove = (event) => {
    hover(event);
    if (event.pointerId !== pointer) return;
    if (dragged) {
      const [x, y] = at(event);
      return look(view.x + dragged[0] - x, view.y + dragged[1] - y);
    }
    if (!stroke) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const one of between.length ? between : [event]) extend(at(one));
  };
  canvas.onpointerup = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = dragged = null;
    finish();
  };
  canvas.onpointercancel = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = dragged = null;
    drop();
  };

  // ---- keyboard
  const cursor = { x: 0.5, y: 0.5, shown: false };
  function move(dx, dy, fine) {
    const step = (fine ? STEP / 5 : STEP) / view.zoom;
    const inside = (value) => Math.max(0, Math.min(1, Math.round(1e5 * value) / 1e5));
    Object.assign(cursor, { x: inside(cursor.x + dx * step), y: inside(cursor.y + dy * step), shown: true });
    if (stroke) extend([cursor.x, cursor.y]);
    const follow = (place, corner) => Math.min(place, Math.max(corner, place - 1 / view.zoom)); // the cursor stays in sight
    look(follow(cursor.x, view.x), follow(cursor.y, view.y));
    say();
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
    if (get("tool") === "eraser") model.set("tool", "stroke");
    set("object", k);
  }
  function take(tool) {
    finish();
    moveFrame(false);
    set("tool", tool);
  }
  function another() {
    if (get("objects") >= 254) return;
    set("objects", get("objects") + 1);
    paint(get("objects"));
  }
  const fade = (step) => set("alpha", Math.max(0, Math.min(1, Math.round(20 * get("alpha") + step) / 20)));
  const broaden = (step) => set("brush", Math.max(1, Math.min(40, get("brush") + step)));
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
    e: () => take(get("tool") === "eraser" ? "stroke" : "eraser"),
    "[": () => broaden(-1),
    "]": () => broaden(1),
    n: another,
    u: () => act.undo(),
    r: () => act.redo(),
    z: () => magnify(1.5),
    x: () => magnify(1 / 1.5),
    f: () => look(0, 0, 1),
    m: () => moveFrame(!moving),
    s: () => get("live") && tell("suggest"),
    c: () => compare(true),
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
  root.addEventListener("keyup", (event) => event.key === "c" && compare(false));
  root.addEventListener("focusout", () => compare(false));
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
  const saveScribbles = () => {
    const text = JSON.stringify(toDavis(strokes(), last + 1, get("sequence")));
    download(new Blob([text], { type: "application/json" }), `${get("sequence")}-scribbles.json`);
  };
  const first = get("steps"); // all that the masks of a page without a kernel know
  const saveMask = () => {
    const t = get("frame");
    const late = get("steps") !== first;
    wrong = "";
    if (late) wrong = "The last strokes have no mask yet.";
    else if (!get("drawings")[t]?.names.length) wrong = `Frame ${t} has no mask yet: draw a box or a stroke of an object there.`;
    else {
      download(new Blob([get("labels")[t]], { type: "image/png" }), `${get("sequence")}-${String(t).padStart(5, "0")}.png`);
    }
    read();
  };
  const localFiles = { mask: saveMask, scribbles: saveScribbles }; // where no kernel makes them
  const delivered = (message, [data]) =>
    message.type === "file" && sent.has(message.id) && download(new Blob([data]), message.name);
  save.onclick = () => {
    menu.hidden = !menu.hidden;
    save.setAttribute("aria-expanded", !menu.hidden);
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
  brush.oninput = () => set("brush", +brush.value);
  out.onclick = () => magnify(1 / 1.5);
  closer.onclick = () => magnify(1.5);
  whole.onclick = () => look(0, 0, 1);
  hand.onclick = () => moveFrame(!moving);
  earlier.onpointerdown = () => compare(true);
  earlier.onpointerup = earlier.onpointerleave = () => compare(false);
  earlier.onkeydown = (event) => [" ", "Enter"].includes(event.key) && compare(true);
  earlier.onkeyup = () => compare(false);
  next.onclick = () => tell("suggest");
  redo.onclick = () => act.redo();
  undo.onclick = () => act.undo();
  clear.onclick = () => act.clear();

  playing(false);
  save.setAttribute("aria-expanded", false);
  const traits = "frame object objects alpha tool brush steps waiting seconds carried total advice".split(" ");
  const moved = traits.map((name) => `change:${name}`).join(" ");
  model.on(moved, update);
  model.on("change:labels change:answers", answered);
  model.on("msg:custom", delivered);
  model.on("change:heard", heard);
  const resized = new ResizeObserver(() => draw());
  resized.observe(root);
  hover();
  answered();
  look(0, 0);
  return () => {
    clearInterval(timer);
    resized.disconnect();
    model.off(moved, update);
    model.off("change:labels change:answers", answered);
    model.off("msg:custom", delivered);
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

/** Strokes as DAVIS's interactive json holds them: a list for each frame; boxes and brushes have a third key. */
function toDavis(strokes, frames, sequence) {
  const scribbles = Array.from({ length: frames }, () => []);
  for (const { frame, object, path, box, width } of strokes) {
    scribbles[frame].push({ path, object_id: object, ...(box && { box }), ...(width && { width }) });
  }
  return { sequence, scribbles };
}

/** The way back, where no kernel checks what the file holds. */
function fromDavis(davis, frames) {
  const number = (value, most) => Number.isInteger(value) && value >= 0 && value <= most;
  const inside = (point) => point.length === 2 && point.every((value) => value >= 0 && value <= 1);
  try {
    if (davis.scribbles.length !== frames) throw 0;
    const known = ({ object_id: object, path, box = false, width }, frame) => ({ frame, object, path, box, width });
    const strokes = davis.scribbles.flatMap((list, frame) => list.map((one) => known(one, frame)));
    const apart = ([[x, y], [u, v], ...more]) => x !== u && y !== v && !more.length;
    const boxed = ({ object, path, box }) => box === false || (box === true && object > 0 && apart(path));
    const wide = (width) => width == null || (width > 0 && number(width, 40));
    const fits = ({ object, path, width }) => number(object, 254) && wide(width) && path.length && path.every(inside);
    if (strokes.every((one) => fits(one) && boxed(one))) return strokes;
  } catch {} // whatever is missing, it is said below
  throw new Error(`these are no DAVIS scribbles for a clip of ${frames} frames.`);
}

export default { render };
