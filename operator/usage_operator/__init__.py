"""The usage operator: runs usage collectors on Kubernetes."""
