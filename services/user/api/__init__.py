"""Public routes."""

from services.user.api import auth, barriers, graph, users

routers = (auth.router, users.router, graph.router, barriers.router)
