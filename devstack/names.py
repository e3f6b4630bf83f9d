"""Names of processes that are not deployables."""

GATEWAY = "gateway"
GATEWAY_PORT = 8080
