"""Every error that momalisa raises on purpose.

MomalisaError
├── InputError (ValueError)          the caller's mistake; the message names the fix
│   ├── ConfigError                  a recipe, a flag, a `--set`, a batch that cannot be
│   ├── FieldsError                  fields of a request, each with what is wrong with it
│   ├── DatasetError                 a dataset or cache that is missing, empty or does not match
│   ├── ModelError                   a model that is missing, incomplete or not safetensors
│   └── UriError                     a URI that cannot be understood
├── StorageError                     a bucket or disk said no
│   ├── ObjectNotFoundError
│   ├── AccessDeniedError
│   ├── AlreadyExistsError           create-if-absent found an object
│   ├── ConflictError                compare-and-swap found another version
│   ├── UnsupportedOperationError    this backend cannot do it
│   └── UnavailableError             retries are used up
├── IntegrityError                   bytes differ from their recorded hash, a file is cut short
├── TrainingError                    a run that cannot go on
│   └── NonFiniteLossError           names the samples
├── WalkError                        walks that cannot go on
├── ClusterError                     a Kubernetes cluster, or a job on it, said no
│   ├── ClusterUnreachableError      no answer from the API server, retries are used up
│   ├── ClusterForbiddenError        this user may not do that; names verb, resource and namespace
│   ├── ClusterNotFoundError         no such object, or no such kind
│   ├── ClusterConflictError         it exists already, or was changed meanwhile
│   └── ClusterRejectedError         validation, admission or quota refused it, in the API server's words
└── ServiceError                     the service says no
    ├── BusyError                    no capacity or quota now; says when to come back
    ├── UnauthorizedError            nobody that we know
    ├── ForbiddenError               somebody else's
    ├── GoneError                    taken down
    ├── RefusedError                 words or a picture that are not shown here
    ├── TooLargeError                more bytes than are taken
    ├── UnsupportedMediaError        a kind of content that is not taken
    └── HandoverError                a newer release serves
"""

from collections.abc import Mapping


class MomalisaError(Exception):
    """Base of every error in this tree."""


class InputError(MomalisaError, ValueError):
    """The caller's mistake. The message names the fix."""


class ConfigError(InputError):
    """A recipe, a flag, a `--set` or a batch that cannot be."""


class FieldsError(InputError):
    """Fields of a request that cannot be: what is wrong, by the field's path (`waypoints.0.prompt`)."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in fields.items()))
        self.fields = dict(fields)

    def __reduce__(self) -> tuple[type["FieldsError"], tuple[dict[str, str]]]:
        return type(self), (self.fields,)  # it crosses from process to process


class DatasetError(InputError):
    """A dataset or a cache that is missing, empty or does not match."""


class ModelError(InputError):
    """A model that is missing, incomplete or not in safetensors."""


class UriError(InputError):
    """A URI that cannot be understood."""


class StorageError(MomalisaError):
    """A bucket or a disk said no."""


class ObjectNotFoundError(StorageError):
    """There is no object at this key."""


class AccessDeniedError(StorageError):
    """These credentials may not do that."""


class AlreadyExistsError(StorageError):
    """Create-if-absent found an object."""


class ConflictError(StorageError):
    """Compare-and-swap found another version than the one expected."""


class UnsupportedOperationError(StorageError):
    """This backend cannot do that."""


class UnavailableError(StorageError):
    """The backend kept failing until the retries were used up."""


class IntegrityError(MomalisaError):
    """Bytes differ from their recorded hash, or a file is cut short."""


class TrainingError(MomalisaError):
    """A run that cannot go on."""


class NonFiniteLossError(TrainingError):
    """The loss is NaN or infinite; the message names the samples."""


class WalkError(MomalisaError):
    """Walks that cannot go on."""


class ClusterError(MomalisaError):
    """A Kubernetes cluster, or a job on it, said no."""


class ClusterUnreachableError(ClusterError):
    """No answer from the API server until the retries were used up."""


class ClusterForbiddenError(ClusterError):
    """This user may not do that; the message names the verb, the resource and the namespace."""


class ClusterNotFoundError(ClusterError):
    """There is no such object, or the cluster does not know its kind."""


class ClusterConflictError(ClusterError):
    """The object exists already, or was changed meanwhile."""


class ClusterRejectedError(ClusterError):
    """Validation, admission or quota refused the object; the message is the API server's."""


class ServiceError(MomalisaError):
    """The service says no."""


class BusyError(ServiceError):
    """There is no capacity, or the quota is used up."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["BusyError"], tuple[str, float]]:
        return type(self), (str(self), self.retry_after_s)  # it crosses from process to process


class UnauthorizedError(ServiceError):
    """Neither a key that is known nor a session, where one is needed."""


class ForbiddenError(ServiceError):
    """This is somebody else's."""


class GoneError(ServiceError):
    """It was taken down."""


class RefusedError(ServiceError):
    """Words or a picture that are not shown here."""


class TooLargeError(ServiceError):
    """More bytes than are taken."""


class UnsupportedMediaError(ServiceError):
    """A kind of content that is not taken."""


class HandoverError(ServiceError):
    """A newer release serves: connect anew."""
