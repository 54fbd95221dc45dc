"""The project's kind-helper: a real Kubernetes with three zones for tests and the demo."""
