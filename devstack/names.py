"""Names of processes that are not deployables."""

GATEWAY = "gateway"
GATEWAY_PORT = 8080
GATEWAY_STATUS = "gateway-status"  # a second port of the gateway, for its metrics
