
// Webcam: a button, what the camera sees, and so many pictures within so many seconds, which go to Python as JPEG.

const READY = 1500; // ms between the first sight of the camera's picture and the first picture taken
const SIDE = 360; // pixels of the shorter side of a picture
const FILES = "or choose files instead.";
const TROUBLE = {
  NotAllowedError: `The browser may not use the webcam: allow it (there is a sign for it in the address bar) and press again, ${FILES}`,
  NotFoundError: `No webcam was found: connect one and press again, ${FILES}`,
  SecurityError: `Browsers give no webcam to a page that came unencrypted from another machine: open JupyterLab by https, ${FILES}`,
  NotReadableError: `The webcam is busy: close the other program that uses it and press again, ${FILES}`,
};
const NOBODY = "No kernel answers in this page, so no pictures can be taken.";

function render({ model, el }) {
  const get = (name) => model.get(name);
  const toggle = node("button", { type: "button" });
  const video = node("video", { "aria-label": "what the webcam sees", playsinline: "", hidden: "" });
  video.muted = true;
  const reading = node("p", { class: "reading", role: "status" });
  const trouble = node("p", { class: "trouble", role: "alert" });
  const root = node(
    "div",
    { class: "vosnb webcam", role: "group", "aria-label": get("alt"), "data-lm-suppress-shortcuts": "true" },
    node("div", { class: "bar" }, toggle),
    video,
    reading,
    trouble,
  );
  el.append(root);

  let run = null; // {stream}, while the camera is asked for or on
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  function off() {
    run?.stream?.getTracks().forEach((track) => track.stop()); // and the camera's light goes out
    run = null;
    video.hidden = true;
    video.srcObject = null;
    toggle.textContent = "Use the webcam";
    root.dataset.on = false;
  }

  async function take() {
    const mine = (run = {});
    const stopped = () => run !== mine;
    toggle.textContent = "Stop";
    trouble.textContent = "";
    reading.textContent = "Waiting for the webcam. The browser may ask you whether it is allowed.";
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } } });
      if (stopped()) return stream.getTracks().forEach((track) => track.stop());
      mine.stream = stream;
      video.srcObject = stream;
      video.hidden = false;
      await video.play();
      root.dataset.on = true;
      reading.textContent = `The webcam is on. In a moment it takes ${get("count")} pictures in ${get("seconds")} seconds: move.`;
      await wait(READY);

      const scale = Math.min(1, SIDE / Math.min(video.videoWidth, video.videoHeight));
      const canvas = node("canvas", { width: Math.round(scale * video.videoWidth), height: Math.round(scale * video.videoHeight) });
      const context = canvas.getContext("2d");
      const start = performance.now();
      const pictures = [];
      while (pictures.length < get("count")) {
        await wait(start + (1000 * get("seconds") * pictures.length) / get("count") - performance.now());
        if (stopped()) return;
        context.drawImage(video, 0, 0, canvas.width, canvas.height);
        const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
        pictures.push(await picture.arrayBuffer());
      }
      if (stopped()) return;
      model.send({ type: "pictures" }, undefined, pictures);
      reading.textContent = `${pictures.length} pictures taken; the webcam is off.`;
      off();
    } catch (error) {
      if (stopped()) return;
      reading.textContent = "";
      trouble.textContent = TROUBLE[error.name] ?? `The webcam does not answer (${error.message || error.name}): press again, ${FILES}`;
      off();
    }
  }

  toggle.onclick = () => {
    if (!run) return take();
    off();
    reading.textContent = "Stopped; no pictures were taken.";
  };
  // Enter and space are the button's own here, not the notebook's.
  root.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && event.stopPropagation());

  off();
  if (!get("live")) {
    toggle.disabled = true;
    reading.textContent = NOBODY;
  }
  return off; // taken off the page: the camera does not stay on
}

export default { render };
