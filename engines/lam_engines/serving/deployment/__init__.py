"""Files that run a model repository elsewhere: Docker, Compose, Kubernetes, KServe."""

from .files import FILES, Deployment, check_deployment, write_deployment

__all__ = ["FILES", "Deployment", "check_deployment", "write_deployment"]
