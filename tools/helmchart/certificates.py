"""The values of Certificates, which cert-manager issues and renews."""

from typing import Annotated

from pydantic import Field

from helmchart.model import Object, ValueGroup, text_pattern

#: A duration in Go's format, or empty for cert-manager's default.
OptionalDuration = Annotated[
    str, Field(**text_pattern("(([0-9]+(ms|[hms]))+)?", "hours, minutes and seconds like 2160h or 1h30m, or nothing"))
]

#: The API group of cert-manager's own issuers.
CERT_MANAGER = "cert-manager.io"


class IssuerReference(ValueGroup):
    """The issuer of a Certificate."""

    name: str = Field(
        "",
        description="Its name; empty creates a certification authority of the release, with a self-signed certificate.",
    )
    kind: str = Field("Issuer", min_length=1, description="`Issuer`, `ClusterIssuer`, or the kind of another issuer.")
    group: str = Field(CERT_MANAGER, min_length=1, description="Its API group.")


class Certificate(ValueGroup):
    """A Certificate of cert-manager, whose Secret the pods mount."""

    create: bool = Field(
        default=False,
        description="Whether the chart creates it, which is instead of `secretName`; cert-manager must be installed.",
    )
    issuer_ref: IssuerReference = Field(IssuerReference(), description="The issuer, in the format of a Certificate.")
    dns_names: list[str] = Field(
        [], description="DNS names besides those of the Services, such as one in another cluster domain."
    )
    duration: OptionalDuration = Field(
        "", description="How long it is valid; empty is cert-manager's default, 90 days."
    )
    renew_before: OptionalDuration = Field(
        "",
        description="How long before its end it is renewed; empty is cert-manager's default, a third of the duration.",
    )
    private_key: Object = Field({}, description="The private key, in the format of a Certificate.")
    secret_template: Object = Field(
        {}, description="Labels and annotations of the Secret, in the format of a Certificate."
    )
