module statefulroute.io/tools/signaturepolicies

go 1.26.0

require (
	github.com/kyverno/kyverno v1.19.1
	github.com/sigstore/policy-controller v0.13.1
)
