"""From the resource to the objects it needs: pure builders, one file for each kind."""

from usage_operator.manifests.claims import Claim
from usage_operator.manifests.desired import Known, build
from usage_operator.manifests.metadata import Context, Manifest

__all__ = ["Claim", "Context", "Known", "Manifest", "build"]
