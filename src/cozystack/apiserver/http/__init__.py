"""The HTTP side: requests in a form of our own, handled without sockets, and an aiohttp server in front."""
