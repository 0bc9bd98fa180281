{{/*
The network policy of the pods of a component, of the kind in `networkPolicy.kind`. Arguments: those of `statefulroute.metadata`, and
  pods      the component of the pods, if it is another one
  ingress   the rules of the allowed connections to them, as in `statefulroute.networkRules`; without any, none is allowed
  egress    the allowed destinations in the format of the kind, or nothing for all
  servers   components that are allowed destinations, too, at their port `http`
  isolated  whether the pods may connect to nothing
*/}}
{{- define "statefulroute.networkPolicy" -}}
{{- $kind := .root.Values.networkPolicy.kind -}}
{{- $isCilium := eq $kind "CiliumNetworkPolicy" -}}
apiVersion: {{ $isCilium | ternary "cilium.io/v2" "networking.k8s.io/v1" }}
kind: {{ $kind }}
metadata:
  {{- include "statefulroute.metadata" . | nindent 2 }}
spec:
  {{ $isCilium | ternary "endpointSelector" "podSelector" }}:
    matchLabels: {{- include "statefulroute.selectorLabels" (list .root (.pods | default .component)) | nindent 6 }}
  {{- if not $isCilium }}
  policyTypes:
    - Ingress
    {{- if or .egress .isolated }}
    - Egress
    {{- end }}
  {{- end }}
  {{- if .ingress }}
  ingress:
    {{- range .ingress }}
    {{- include "statefulroute.networkRules" (merge (dict "root" $.root "direction" "from") .) | nindent 4 }}
    {{- end }}
  {{- else if $isCilium }}
  # An empty rule allows nothing.
  ingress:
    - {}
  {{- end }}
  {{- if .egress }}
  egress:
    {{- toYaml .egress | nindent 4 }}
    {{- if .servers }}
    {{- include "statefulroute.networkRules" (dict "root" .root "direction" "to" "components" .servers "ports" (list "http")) | nindent 4 }}
    {{- end }}
  {{- else if and .isolated $isCilium }}
  egress:
    - {}
  {{- end }}
{{- end -}}

{{/*
Rules for the same ports: one of a NetworkPolicy, or of a CiliumNetworkPolicy one for each peer. Arguments:
  root        the root context
  direction   `from` or `to`
  ports       the names of the ports
  peers       the allowed peers in the format of the kind; if there are none and no components, all are
  components  components of the release that are allowed peers, too
*/}}
{{- define "statefulroute.networkRules" -}}
{{- $root := .root -}}
{{- $direction := .direction -}}
{{- $isCilium := eq .root.Values.networkPolicy.kind "CiliumNetworkPolicy" -}}
{{- $peers := default list .peers -}}
{{- range .components -}}
{{- $pods := dict "matchLabels" (include "statefulroute.selectorLabels" (list $root .) | fromYaml) -}}
{{- $peers = append $peers ($isCilium | ternary (dict (printf "%sEndpoints" $direction) (list $pods)) (dict "podSelector" $pods)) -}}
{{- end -}}
{{- $ports := list -}}
{{- range .ports -}}
{{- $ports = append $ports (dict "port" . "protocol" "TCP") -}}
{{- end -}}
{{- $rules := list -}}
{{- if $isCilium -}}
{{- range default (list dict) $peers -}}
{{- $rules = append $rules (merge (dict "toPorts" (list (dict "ports" $ports))) .) -}}
{{- end -}}
{{- else -}}
{{- $rules = list (merge (dict "ports" $ports) ($peers | empty | ternary dict (dict $direction $peers))) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
