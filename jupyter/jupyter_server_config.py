"""What `make lab` adds to Jupyter: prompt answers to widgets, texts for pictures (by JUPYTER_CONFIG_PATH=jupyter)."""

from pathlib import Path

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

# Jupyter Server leaves Nagle's algorithm on for kernel websockets, which holds small messages back for up to 40 ms.
_open = KernelWebsocketHandler.open


async def _open_without_delay(self, *args, **kwargs):
    self.set_nodelay(True)
    return await _open(self, *args, **kwargs)


KernelWebsocketHandler.open = _open_without_delay

c = get_config()  # noqa: F821  Jupyter runs this file with that name defined
c.LabApp.extra_labextensions_path = [str(Path(__file__).parent / "labextensions")]
