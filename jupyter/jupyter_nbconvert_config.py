"""What HTML exports need to show a notebook as it was seen: pictures in widgets' places, and alternative texts."""

from html import escape

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def show_pictures(notebook, resources):
    """Outputs with a picture become that picture, with the text of its metadata; widgets without state give way.

    nbconvert's templates prefer the view of a widget, which is empty without a kernel, and drop alternative texts.
    """
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = [output for output in cell.outputs if output.get("data") != {}]  # a progress bar that is done
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        still = "".join(data.get("image/jpeg", "")).strip()  # of a film, for readers who ask for less motion
        for kind in ("image/webp", "image/png", "image/jpeg"):
            if kind in data and "text/html" not in data:
                attributes = {"src": f"data:{kind};base64,{''.join(data[kind]).strip()}"}
                attributes |= {name: str(value) for name, value in output.metadata.get(kind, {}).items()}
                known = ("src", "alt", "width", "height")
                written = (f'{name}="{escape(attributes[name])}"' for name in known if name in attributes)
                image = f"<img {' '.join(written)}>"
                if kind == "image/webp" and still:
                    calm = f'media="(prefers-reduced-motion: reduce)" srcset="data:image/jpeg;base64,{still}"'
                    image = f"<picture><source {calm}>{image}</picture>"
                output["data"] = {"text/html": image}
                break
        else:
            if "widgets" not in notebook.metadata:
                data.pop(WIDGET_VIEW, None)
    return notebook, resources


c = get_config()  # noqa: F821  Jupyter runs this file with that name defined
c.HTMLExporter.preprocessors = [show_pictures]
