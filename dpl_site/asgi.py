"""The site as one ASGI application: the doors beside Django, Django, and the sockets, put together.

A request first gets an exit stack (`scope["dpl.exit_stack"]`) on which it pushes the release of what it
acquires; then the first door that owns its path answers, else Django. What must run beside requests starts
with the server's lifespan, or with the first request where the server knows none.
"""

from __future__ import annotations

import os
from typing import cast

from django.conf import settings
from django.core.asgi import get_asgi_application

from dpl_site.processes.entrance import Application, LimitedBody, Site, Together


def compose() -> Application:
    """The site. Sets Django up first, since what it imports here needs that."""
    pages = cast(Application, get_asgi_application())
    from datasets import intake
    from dpl_site.processes.presence import WebPresence
    from dpl_site.processes.watching import WatchLoop
    from dpl_site.routing import sockets
    from inference.door import GatewayDoor
    from inference.gateway import Gateway, install

    presence = WebPresence()
    intake.instance_id = lambda: presence.instance_id
    gateway = Gateway(lambda: presence.instance_id)
    install(gateway)
    watch = WatchLoop(lambda: presence.instance_id)
    # Doors are asked in this order, and limit bodies by themselves.
    doors = (GatewayDoor(gateway), intake.UploadDoor())
    limited = LimitedBody(pages, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return Site(doors=doors, pages=limited, sockets=sockets(), beside=Together(gateway, watch, presence))


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dpl_site.settings")
application = compose()
