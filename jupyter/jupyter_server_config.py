"""What `make lab` adds to Jupyter Server: prompt answers to widgets (found through JUPYTER_CONFIG_PATH=jupyter).

Jupyter Server leaves Nagle's algorithm on for kernel websockets, which holds small messages back for up to 40 ms.
"""

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

_open = KernelWebsocketHandler.open


async def _open_without_delay(self, *args, **kwargs):
    self.set_nodelay(True)
    return await _open(self, *args, **kwargs)


KernelWebsocketHandler.open = _open_without_delay
