"""What every Tiketi object of the Kubernetes API has in common: how it is read and named."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "tiketi.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class ContractModel(BaseModel):
    """Immutable, camelCase outside, snake_case inside; fields nobody declared are dropped.

    Dropping them is what the API server does with fields the CRD does not know, so a newer CRD beside an
    older process is no error.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", validate_default=True
    )


class KubernetesObject(ContractModel):
    """The part of an object's metadata that Tiketi reads."""

    namespace: str
    name: str
    uid: str = ""
    generation: int = 1
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read an object as the API server or a YAML file has it.

        Raises pydantic.ValidationError, naming each wrong field, if the API server would have refused it.
        """
        return cls.model_validate({**body.get("metadata", {}), **{k: body[k] for k in _PARTS if k in body}})


_PARTS = ("spec", "status")
