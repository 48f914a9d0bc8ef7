"""What the outputs of the open notebook show."""

VIEW = "application/vnd.jupyter.widget-view+json"

# Of each output in a cell: what it is, its text, and whether anything of it can be seen.
OUTPUTS = """(cell) => {
    const { content } = window.jupyterapp.shell.currentWidget;
    const { model, outputArea } = content.widgets.find((widget) => widget.node === cell);
    const nodes = outputArea.widgets.map(({ node }) => node.querySelector(".jp-OutputArea-output") ?? node);
    const seen = (node) => {
        const { width, height } = node.getBoundingClientRect();
        return width > 4 && height > 4 && (node.tagName !== "IMG" || node.naturalWidth > 0);
    };
    return model.outputs.toJSON().map((output, i) => ({
        kind: output.output_type,
        kinds: Object.keys(output.data ?? {}),
        text: nodes[i]?.innerText ?? "",
        seen: !!nodes[i] && seen(nodes[i]) &&
            (!!nodes[i].innerText.trim() || [...nodes[i].querySelectorAll("img, svg, canvas, button")].some(seen)),
        alive: !!nodes[i]?.querySelector(".jupyter-widgets"),
    }));
}"""


def faults(page, lab) -> tuple[list[str], int]:
    """Outputs of the open notebook that show nothing, an error, or not the widget that they are; number of widgets."""
    found, widgets = [], 0
    for number, cell in enumerate(lab.cells(page)):
        page.wait_for_function("cell => !cell.innerText.includes('Loading widget')", arg=cell.element_handle())
        for output in cell.evaluate(OUTPUTS):
            if output["kind"] == "display_data" and not output["kinds"]:
                continue  # a progress bar that is done
            dead = output["alive"] != (VIEW in output["kinds"]) or "Error displaying widget" in output["text"]
            for fault in ["error"] * (output["kind"] == "error") + ["empty"] * (not output["seen"]) + ["dead"] * dead:
                found.append(f"cell {number}: {fault}: {output}")
            widgets += output["alive"]
    return found, widgets
