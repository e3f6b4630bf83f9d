"""Public routes."""

from services.user.api import auth, blocks_and_mutes, graph, users

routers = (auth.router, users.router, graph.router, blocks_and_mutes.router)
