"""Public routes."""

from services.user.api import auth, users

routers = (auth.router, users.router)
