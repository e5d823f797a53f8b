"""`manage.py healthcheck`: asks everything that the service needs, now and itself, and says how each is."""
