"""Names of what is no deployable of our own."""

GATEWAY = "gateway"
GATEWAY_PORT = 8080
