// JupyterLab 4.6 shows image/png outputs without their alternative text, {"image/png": {"alt": ..}} in the metadata.
// This renderer, which comes before JupyterLab's own, passes it on. It is written as the module that JupyterLab's
// loader expects of a prebuilt extension, so that nothing needs to be built.
(() => {
  let shared; // JupyterLab's own libraries: {package: {version: {get}}}
  const load = async (name) => (await Object.values(shared[name])[0].get())();

  async function altText() {
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
        this.node.replaceChildren(image);
      }
    }

    const createRenderer = (options) => new Picture(options);
    return {
      id: "vosnb-alt-text:plugin",
      rendererFactory: { safe: true, mimeTypes: ["image/png", "image/jpeg"], createRenderer },
      rank: 80, // JupyterLab's own has 90
      dataType: "string",
    };
  }

  (window._JUPYTERLAB ??= {})["vosnb-alt-text"] = {
    init: (scope) => (shared = scope),
    get: async () => {
      const plugin = await altText();
      return () => ({ default: plugin, __esModule: true });
    },
  };
})();
