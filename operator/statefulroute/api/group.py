"""The API group, its version, and the names that Kubernetes knows the two kinds by."""

from dataclasses import dataclass, field

GROUP = "statefulroute.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

#: Holds a StatefulRoute until the operator has taken its notes off its pods and its workload.
FINALIZER = f"{GROUP}/operator"

#: The category that lists both kinds (`kubectl get stateful-routing`). A category named like one of
#: the kinds would hide that kind from kubectl.
CATEGORY = "stateful-routing"


@dataclass(frozen=True, slots=True)
class Kind:
    """The names of one kind, as a CustomResourceDefinition wants them."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = field(default=())

    @property
    def crd_name(self) -> str:
        """The name of the kind's CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


POD_LINK = Kind("PodLink", "podlinks", "podlink", ("pl",))
STATEFUL_ROUTE = Kind("StatefulRoute", "statefulroutes", "statefulroute", ("sr",))
