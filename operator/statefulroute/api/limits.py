"""The limits of names and numbers. The CRDs, the Python checks and the resolver's schema share them.

This module imports nothing, so a client that only checks a value loads no API type.
"""

INT32_MAX = 2**31 - 1

#: A regular expression for a DNS label (RFC 1123) of any length.
DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_LABEL_MAX_LENGTH = 63

#: A regular expression for a DNS subdomain (RFC 1123) of any length. Most names in Kubernetes are DNS subdomains.
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DNS_SUBDOMAIN_MAX_LENGTH = 253

#: A regular expression for a value of an enum in a status, as Kubernetes' API conventions require.
CAMEL_CASE = "^[A-Z][A-Za-z0-9]*$"
CAMEL_CASE_MAX_LENGTH = 128

#: A route can have any number of lost pods: links may name pods that do not exist.
LOST_PODS_MAX = 100

PORT_MAX = 65_535
#: The length of a container port's name (IANA service name, RFC 6335).
PORT_NAME_MAX_LENGTH = 15

#: Starts the encoded form of a uid in a PodLink's name: `<routeName>.x-<hex of the uid's UTF-8 bytes>`.
ENCODED_UID_PREFIX = "x-"

#: A PodLink's name is `<routeName>.<uid>`, and Kubernetes allows 253 characters.
UID_MAX_LENGTH = DNS_SUBDOMAIN_MAX_LENGTH - DNS_LABEL_MAX_LENGTH - len(".")

#: The UTF-8 bytes of a uid that needs encoding: each byte takes two hexadecimal digits after the prefix.
ENCODED_UID_MAX_BYTES = (UID_MAX_LENGTH - len(ENCODED_UID_PREFIX)) // 2
