// Shared by the widgets: put in front of each module, since a widget's module cannot import a neighbour.

/** Make an element: node("button", { title: "Play" }, "text", child, ...). */
function node(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Run `work(argument)` once at a time; of the calls that come meanwhile, only the latest is kept. */
function latest(work) {
  let busy = false;
  let next;
  return async (argument) => {
    next = { argument };
    if (busy) return;
    busy = true;
    try {
      while (next) {
        const { argument } = next;
        next = undefined;
        await work(argument);
      }
    } finally {
      busy = false;
    }
  };
}

/** Remember what `load(key)` promised for the last `limit` keys. */
function remember(load, limit) {
  const kept = new Map();
  return (key) => {
    const found = kept.get(key) ?? load(key);
    kept.delete(key); // to the end: the least recently used stands first
    kept.set(key, found);
    if (kept.size > limit) kept.delete(kept.keys().next().value);
    return found;
  };
}

/** Offer a blob as a file of this name. */
function download(blob, name) {
  const url = URL.createObjectURL(blob);
  node("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const decode = (view, type) => createImageBitmap(new Blob([view], { type }));

const rgb = (color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));

/** A grey PNG of object numbers as a bitmap of the objects' colours; background transparent, void (255) hatched. */
async function tint(png, palette) {
  const labels = await decode(png, "image/png");
  const { width, height } = labels;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(labels, 0, 0);
  const image = context.getImageData(0, 0, width, height);
  const pixels = new Uint32Array(image.data.buffer); // little-endian: 0xAABBGGRR
  const colors = new Uint32Array(256);
  for (let k = 1; k < 255; k++) {
    const [r, g, b] = rgb(palette[(k - 1) % palette.length]);
    colors[k] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  for (let i = 0; i < pixels.length; i++) {
    const k = pixels[i] & 255;
    if (k) pixels[i] = k === 255 ? ((i % width) + Math.floor(i / width)) % 6 < 2 ? 0xffc8c8c8 : 0 : colors[k];
    else pixels[i] = 0;
  }
  context.putImageData(image, 0, 0);
  return canvas.transferToImageBitmap();
}

/** Give the canvas one pixel for each pixel of the screen; draw in units of the image, `width` of them across. */
function fit(canvas, width, height) {
  const across = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  const down = Math.max(1, Math.round((across * height) / width));
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  const context = canvas.getContext("2d");
  context.setTransform(across / width, 0, 0, across / width, 0, 0);
  context.imageSmoothingQuality = "high";
  return context;
}

/** Outlines, dashed by object, and numbers. `unit` is the length of one CSS pixel in the context. */
function outline(context, { lines, names }, palette, dashes, unit) {
  context.lineJoin = "round";
  for (const [k, ...points] of lines) {
    const path = new Path2D();
    for (let i = 0; i < points.length; i += 2) path.lineTo(points[i] + 0.5, points[i + 1] + 0.5);
    path.closePath();
    context.setLineDash(dashes[(k - 1) % dashes.length].map((length) => 1.6 * length * unit));
    for (const [color, width] of [["#000a", 3.2], [palette[(k - 1) % palette.length], 1.8]]) {
      context.strokeStyle = color;
      context.lineWidth = width * unit;
      context.stroke(path);
    }
  }
  context.setLineDash([]);
  context.font = `600 ${14 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * unit;
  context.strokeStyle = "#000c";
  context.fillStyle = "#fff";
  for (const [k, x, y] of names) {
    context.strokeText(k, x + 0.5, y + 0.5);
    context.fillText(k, x + 0.5, y + 0.5);
  }
}

