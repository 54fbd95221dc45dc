"""The Kubernetes API."""

from usage_operator.kube.client import Client
from usage_operator.kube.config import Access, from_file, in_cluster
from usage_operator.kube.mirror import Mirror
from usage_operator.kube.reflector import Reflector

__all__ = ["Access", "Client", "Mirror", "Reflector", "from_file", "in_cluster"]
