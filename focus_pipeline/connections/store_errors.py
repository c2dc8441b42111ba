"""Why an object store, or a query, gives nothing: in words that hold no secret."""

from focus_pipeline.connections.delivery import printable
from focus_pipeline.secrets_filter import without_secrets


class StoreError(Exception):
    """The store refused, or could not be reached. The message names the place and says what to do.

    It holds no secret and nothing that a terminal obeys, not even where it repeats what a server has said.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(without_secrets(message)))


class AccessDenied(StoreError):
    """The credentials are known but not allowed, or not known at all."""


class NotFound(StoreError):
    """The bucket, container, folder or object does not exist."""


class LimitExceeded(StoreError):
    """What was asked for would cost more than the connection allows."""


class Archived(StoreError):
    """The object is in a storage class from which it has to be restored before it can be read."""


class ObjectChanged(StoreError):
    """The object is no longer the version that was listed: the provider is delivering right now."""
