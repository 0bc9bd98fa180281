"""The API group, its version, and the names of the two kinds."""

from dataclasses import dataclass, field

GROUP = "statefulroute.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

#: Keeps a StatefulRoute until the operator has removed its annotations from the pods and the workload.
FINALIZER = f"{GROUP}/operator"

#: The category that lists both kinds (`kubectl get stateful-routing`). It must not be the name of one of the kinds,
#: because kubectl could not find that kind.
CATEGORY = "stateful-routing"


@dataclass(frozen=True, slots=True)
class Kind:
    """The names of one kind in its CustomResourceDefinition."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = field(default=())

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


POD_LINK = Kind("PodLink", "podlinks", "podlink", ("pl",))
STATEFUL_ROUTE = Kind("StatefulRoute", "statefulroutes", "statefulroute", ("sr",))
