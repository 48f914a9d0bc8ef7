"""What the course adds to Jupyter: prompt answers to widgets, pictures in their places, and texts for pictures.

Installed with the package; `make lab` takes it from here (by JUPYTER_CONFIG_PATH=jupyter).
"""

from pathlib import Path

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

# Jupyter Server leaves Nagle's algorithm on for kernel websockets, which holds small messages back for up to 40 ms.
_open = KernelWebsocketHandler.open


async def _open_without_delay(self, *args, **kwargs):
    self.set_nodelay(True)
    return await _open(self, *args, **kwargs)


KernelWebsocketHandler.open = _open_without_delay

c = get_config()  # noqa: F821  Jupyter runs this file with that name defined
# A student's own video goes to the kernel in one message. Above 10 MB, the default, the connection just closes.
c.ServerApp.tornado_settings = {"websocket_max_message_size": 200 * 2**20}
c.LabApp.extra_labextensions_path = [str(Path(__file__).resolve().parent / "labextensions")]
load_subconfig("jupyter_nbconvert_config.py")  # noqa: F821  for File > Save and Export Notebook As
