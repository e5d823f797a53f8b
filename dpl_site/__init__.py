"""The site: settings, urls, asgi, processes; its lib is the bottom of the house."""
