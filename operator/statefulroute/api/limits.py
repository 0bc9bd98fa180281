"""What a name and a number may be, in words that need no type: whoever checks a value loads nothing else."""

INT32_MAX = 2**31 - 1

#: A DNS label of RFC 1123 as a regular expression, but for its length.
DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

#: A DNS subdomain of RFC 1123, as most names in Kubernetes are, but for its length.
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
