"""One client for each service. Every method may raise UnavailableError."""
