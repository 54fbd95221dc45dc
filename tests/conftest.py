"""Fixtures for all tests: the cluster, and namespaces in it."""

pytest_plugins = ["tests.kind_helper.fixtures"]
