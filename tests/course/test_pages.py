"""HTML pages made of notebooks: every picture with its text, and none of them empty where a widget was."""

import base64

import nbformat.v4 as nb
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from traitlets.config import PyFileConfigLoader

from vosnb.paths import ROOT

VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
PNG = base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize("file", ["jupyter_nbconvert_config.py", "jupyter_server_config.py"])
def test_an_exported_page_shows_pictures_and_texts_where_widgets_were(file):
    player = nb.new_output(
        "display_data",
        data=VIEW | {"image/png": PNG + "\n", "text/plain": "A player."},
        metadata={"image/png": {"alt": 'A "player" <.', "width": 300}},
    )
    slider = nb.new_output("display_data", data=VIEW | {"text/plain": "IntSlider(value=3)"})
    bare = nb.new_output("display_data", data={"image/png": PNG})
    finished = nb.new_output("display_data", data={})
    cell = nb.new_code_cell("show()", outputs=[player, slider, bare, finished])
    config = PyFileConfigLoader(file, path=str(ROOT / "jupyter")).load_config()
    page, _ = HTMLExporter(config=config).from_notebook_node(nb.new_notebook(cells=[cell]))
    images = [image.attrs for image in BeautifulSoup(page, "html.parser").find_all("img")]
    assert images[0] == {"alt": 'A "player" <.', "src": f"data:image/png;base64,{PNG}", "width": "300"}
    assert [image["src"] for image in images] == 2 * [images[0]["src"]]
    assert "IntSlider(value=3)" in page and 'type="application/vnd.jupyter.widget-view+json"' not in page


def test_an_exported_page_shows_a_film_and_its_still_to_whoever_wants_calm():
    data = {"image/webp": "RklMTQ==", "image/jpeg": "U1RJTEw=", "text/plain": "A film."}
    film = nb.new_output("display_data", data=data, metadata={"image/webp": {"alt": "A film."}})
    config = PyFileConfigLoader("jupyter_nbconvert_config.py", path=str(ROOT / "jupyter")).load_config()
    notebook = nb.new_notebook(cells=[nb.new_code_cell("film()", outputs=[film])])
    page = BeautifulSoup(HTMLExporter(config=config).from_notebook_node(notebook)[0], "html.parser")
    (image,) = page.find_all("img")
    assert image.attrs == {"src": "data:image/webp;base64,RklMTQ==", "alt": "A film."}
    still = image.find_previous_sibling("source") or image.parent
    assert still["srcset"] == "data:image/jpeg;base64,U1RJTEw=" and "reduce" in still["media"]
