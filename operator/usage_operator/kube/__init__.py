"""The Kubernetes API."""

from usage_operator.kube.client import Client
from usage_operator.kube.config import Access, from_file, in_cluster

__all__ = ["Access", "Client", "from_file", "in_cluster"]
