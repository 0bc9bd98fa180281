"""The limits of names and numbers. The CRDs, the Python checks and the resolver's schema share them.

This module imports nothing, so a client that only checks a value loads no API type.
"""

INT32_MAX = 2**31 - 1

#: The longest period that most settings accept.
DAY_SECONDS = 86_400

#: A regular expression for a DNS label (RFC 1123) of any length.
DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_LABEL_MAX_LENGTH = 63

#: A regular expression for a DNS subdomain (RFC 1123) of any length. Most names in Kubernetes are DNS subdomains.
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DNS_SUBDOMAIN_MAX_LENGTH = 253

#: The length of a kind (a DNS label), and of an API version: a group, '/' and a version.
KIND_MAX_LENGTH = DNS_LABEL_MAX_LENGTH
API_VERSION_MAX_LENGTH = DNS_SUBDOMAIN_MAX_LENGTH + len("/") + DNS_LABEL_MAX_LENGTH

#: A regular expression for a value of an enum in a status, as Kubernetes' API conventions require.
CAMEL_CASE = "^[A-Z][A-Za-z0-9]*$"
CAMEL_CASE_MAX_LENGTH = 128

#: The encoded status of a route has at most this many bytes, however many pods, links and lost pods the route has. etcd
#: accepts objects of 1.5 MiB, and a large status is expensive for the API server and for every watch of it.
ROUTE_STATUS_MAX_BYTES = 256 * 1024
#: A status lists at most this many pods; fewer if names are so long that their entries would not fit.
LISTED_PODS_MAX = 500
LISTED_PODS_MAX_BYTES = 218 * 1024
#: The largest encoded entry of a pod without its name, its revision, and why it is closing; and the largest revision.
LISTED_POD_MAX_BYTES = 397
LISTED_REVISION_MAX_BYTES = 78
#: At most so many pods close at the same time, because the status lists all of them, and how large this is in an entry.
CLOSING_PODS_MAX = 100
CLOSING_POD_MAX_BYTES = 112
#: A route can have any number of lost pods: links may name pods that do not exist.
LOST_PODS_MAX = 100
#: The encoded message of a condition of a route: it may contain errors of servers and names of workloads.
ROUTE_MESSAGE_MAX_BYTES = 2048
#: The label selector of the pods, for scalers: a status leaves out a longer one. Kubernetes limits none.
SELECTOR_MAX_BYTES = 2048
#: The encoded reason why a pod does not serve. Kubernetes limits none of its reasons.
NOT_SERVING_REASON_MAX_BYTES = 48

PORT_MAX = 65_535
#: The length of a container port's name (IANA service name, RFC 6335).
PORT_NAME_MAX_LENGTH = 15

#: Starts the encoded form of a uid in a PodLink's name: `<routeName>.x-<hex of the uid's UTF-8 bytes>`.
ENCODED_UID_PREFIX = "x-"

#: Starts the name of a slot's PodLink after its route: `<routeName>.x-slot-<slot>`. No uid has this name, because
#: hex digits follow the prefix of an encoded uid.
SLOT_PREFIX = f"{ENCODED_UID_PREFIX}slot-"

#: The largest number of slots of a route.
SLOTS_MAX = 16_384

#: A PodLink's name is `<routeName>.<uid>`, and Kubernetes allows 253 characters.
UID_MAX_LENGTH = DNS_SUBDOMAIN_MAX_LENGTH - DNS_LABEL_MAX_LENGTH - len(".")

#: The UTF-8 bytes of a uid that needs encoding: each byte takes two hexadecimal digits after the prefix.
ENCODED_UID_MAX_BYTES = (UID_MAX_LENGTH - len(ENCODED_UID_PREFIX)) // 2
