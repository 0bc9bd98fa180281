module statefulroute.io/deploy/local/localgateways/definitions

go 1.26.6

require (
	github.com/envoyproxy/gateway v1.9.0
	github.com/projectcontour/contour v1.33.7
	istio.io/api v1.32.0
	sigs.k8s.io/gateway-api v1.6.3
	sigs.k8s.io/gateway-api-inference-extension v1.0.0
)
