"""Manifests turned into the desired state: read, schema, references, defaults, build."""
