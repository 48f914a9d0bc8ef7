// Three things that JupyterLab 4.6 does not do with outputs: show image/png with its alternative text, which stands in
// the metadata as {"image/png": {"alt": ..}}; start and stop a moving image/webp that has a still image/jpeg beside it;
// and show the picture or the text of a widget that no longer runs. It is written as the module that JupyterLab's loader expects of a prebuilt extension, so that nothing needs to be built.
(() => {
  const VIEW = "application/vnd.jupyter.widget-view+json";
  let shared; // JupyterLab's own libraries: {package: {version: {get}}}
  const load = async (name) => (await Object.values(shared[name])[0].get())();

  /** The renderer of pictures that comes before JupyterLab's own and passes their text on. */
  async function pictures() {
    const { Widget } = await load("@lumino/widgets");

    class Picture extends Widget {
      constructor({ mimeType }) {
        super();
        this.mimeType = mimeType;
        this.addClass("jp-RenderedImage");
      }

      async renderModel({ data, metadata }) {
        const image = document.createElement("img");
        const { alt, width, height, unconfined } = metadata[this.mimeType] ?? {};
        image.src = `data:${this.mimeType};base64,${data[this.mimeType]}`;
        image.alt = alt ?? "";
        if (width) image.width = width;
        if (height) image.height = height;
        image.classList.toggle("jp-mod-unconfined", unconfined === true);
        image.classList.toggle("jp-needs-light-background", metadata.needs_background === "light");
        image.classList.toggle("jp-needs-dark-background", metadata.needs_background === "dark");
        if (this.mimeType === "image/webp" && data["image/jpeg"]) startAndStop(image, `data:image/jpeg;base64,${data["image/jpeg"]}`);
        this.node.replaceChildren(image);
      }
    }

    const createRenderer = (options) => new Picture(options);
    return {
      id: "vosnb:pictures",
      rendererFactory: { safe: true, mimeTypes: ["image/webp", "image/png", "image/jpeg"], createRenderer },
      rank: 80, // JupyterLab's own has 90
      dataType: "string",
    };
  }

  /** Let a click, Enter, space or p put the still picture in the film's place and back. Whoever wants calm sees it first. */
  function startAndStop(image, still) {
    const film = image.src;
    const show = (moving) => {
      image.src = moving ? film : still;
      image.title = `${moving ? "pause" : "play"} (click, space or p)`;
      image.setAttribute("aria-pressed", moving);
    };
    const toggle = () => show(image.src !== film);
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.dataset.lmSuppressShortcuts = "true"; // else p would go to the notebook
    image.onclick = toggle;
    image.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || ![" ", "Enter", "p"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      toggle();
    };
    show(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  /**
   * Let ipywidgets' renderer, which JupyterLab prefers, give way where it has no widget to show. Each notebook gets a
   * renderer of its own, put in late, so it is caught where all are made.
   */
  async function standIns() {
    const { RenderMimeRegistry } = await load("@jupyterlab/rendermime");
    const create = RenderMimeRegistry.prototype.createRenderer;

    RenderMimeRegistry.prototype.createRenderer = function (type) {
      const renderer = create.call(this, type);
      if (type !== VIEW) return renderer;
      const show = renderer.renderModel;
      let standIn;
      renderer.renderModel = async (model) => {
        standIn?.dispose();
        standIn = undefined;
        await show.call(renderer, model); // done, too, when the widget is not found, or not yet
        if (renderer.isDisposed || renderer.widgets.length || !model.data[VIEW].model_id) return;
        const { [VIEW]: gone, ...rest } = model.data;
        const other = this.preferredMimeType(rest, model.trusted ? "any" : "ensure");
        if (!other) return;
        standIn = this.createRenderer(other);
        await standIn.renderModel(model);
        if (renderer.isDisposed || renderer.widgets.length) return standIn.dispose();
        renderer.node.replaceChildren(); // "Loading widget..." or "Error displaying widget: model not found"
        renderer.addWidget(standIn);
      };
      return renderer;
    };
  }

  (window._JUPYTERLAB ??= {}).vosnb = {
    init: (scope) => (shared = scope),
    get: async () => {
      await standIns();
      const plugin = await pictures();
      return () => ({ default: plugin, __esModule: true });
    },
  };
})();
