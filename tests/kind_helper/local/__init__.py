"""Real nodes without a container engine: network namespaces with their own kubelets."""
