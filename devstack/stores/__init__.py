"""Kafka, Cassandra, PostgreSQL and Redis as plain processes, for `make up` and for tests."""

from devstack.stores.base import StoreName
from devstack.stores.endpoints import Endpoints
from devstack.stores.store_set import ALL, StoreProcess, StoreSet

__all__ = ["ALL", "Endpoints", "StoreName", "StoreProcess", "StoreSet"]
