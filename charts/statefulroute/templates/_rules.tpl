{{- /* Generated from the types in operator/statefulroute/api by `make generate`. Do not edit. */ -}}

{{- define "statefulroute.rules.operator" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - list
    - watch
    - patch
    - delete
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks/status
  verbs:
    - patch
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes
  verbs:
    - list
    - watch
    - patch
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes/status
  verbs:
    - patch
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - list
    - watch
- apiGroups:
    - apps
  resources:
    - statefulsets
  verbs:
    - list
    - watch
- apiGroups:
    - apps
  resources:
    - deployments
    - replicasets
  verbs:
    - list
    - watch
- apiGroups:
    - apps
  resources:
    - deployments/scale
    - replicasets/scale
  verbs:
    - get
- apiGroups:
    - events.k8s.io
  resources:
    - events
  verbs:
    - create
- apiGroups:
    - ''
  resources:
    - nodes
  verbs:
    - list
    - watch
{{- end }}

{{- define "statefulroute.rules.operatorInNamespace" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - list
    - watch
    - patch
    - delete
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks/status
  verbs:
    - patch
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes
  verbs:
    - list
    - watch
    - patch
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes/status
  verbs:
    - patch
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - list
    - watch
- apiGroups:
    - apps
  resources:
    - statefulsets
  verbs:
    - list
    - watch
- apiGroups:
    - apps
  resources:
    - deployments
    - replicasets
  verbs:
    - list
    - watch
- apiGroups:
    - apps
  resources:
    - deployments/scale
    - replicasets/scale
  verbs:
    - get
- apiGroups:
    - events.k8s.io
  resources:
    - events
  verbs:
    - create
{{- end }}

{{- define "statefulroute.rules.slots" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - create
{{- end }}

{{- define "statefulroute.rules.annotations" -}}
- apiGroups:
    - policy.statefulroute.io
  resources:
    - operatorwrites
  verbs:
    - use
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - patch
- apiGroups:
    - apps
  resources:
    - statefulsets
  verbs:
    - patch
- apiGroups:
    - apps
  resources:
    - deployments
    - replicasets
  verbs:
    - get
    - patch
{{- end }}

{{- define "statefulroute.rules.operatorDisruptions" -}}
- apiGroups:
    - policy.statefulroute.io
  resources:
    - operatorwrites
  verbs:
    - use
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - patch
- apiGroups:
    - apps
  resources:
    - statefulsets/scale
    - deployments/scale
    - replicasets/scale
  verbs:
    - patch
- apiGroups:
    - ''
  resources:
    - pods/eviction
  verbs:
    - create
- apiGroups:
    - policy
  resources:
    - poddisruptionbudgets
  verbs:
    - list
    - create
    - delete
{{- end }}

{{- define "statefulroute.rules.operatorInNamespaceDisruptions" -}}
- apiGroups:
    - policy.statefulroute.io
  resources:
    - operatorwrites
  verbs:
    - use
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - patch
- apiGroups:
    - apps
  resources:
    - statefulsets/scale
    - deployments/scale
    - replicasets/scale
  verbs:
    - patch
- apiGroups:
    - ''
  resources:
    - pods/eviction
  verbs:
    - create
{{- end }}

{{- define "statefulroute.rules.releaseDisruptions" -}}
- apiGroups:
    - policy.statefulroute.io
  resources:
    - operatorwrites
  verbs:
    - use
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - patch
- apiGroups:
    - policy
  resources:
    - poddisruptionbudgets
  verbs:
    - list
    - delete
{{- end }}

{{- define "statefulroute.rules.lease" -}}
- apiGroups:
    - coordination.k8s.io
  resources:
    - leases
  verbs:
    - create
- apiGroups:
    - coordination.k8s.io
  resources:
    - leases
  verbs:
    - get
    - list
    - watch
    - patch
  resourceNames:
    - {{ include "statefulroute.leaseName" . }}
{{- end }}

{{- define "statefulroute.rules.release" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes
  verbs:
    - get
    - list
    - patch
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - get
    - list
- apiGroups:
    - apps
  resources:
    - statefulsets
    - deployments
    - replicasets
  verbs:
    - get
{{- end }}

{{- define "statefulroute.rules.stop" -}}
- apiGroups:
    - apps
  resources:
    - deployments
  verbs:
    - get
  resourceNames:
    - {{ include "statefulroute.componentName" (list . "operator") }}
- apiGroups:
    - apps
  resources:
    - deployments/scale
  verbs:
    - patch
  resourceNames:
    - {{ include "statefulroute.componentName" (list . "operator") }}
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - list
{{- end }}

{{- define "statefulroute.rules.server" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes
  verbs:
    - get
    - list
    - watch
    - report
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - get
    - patch
{{- end }}

{{- define "statefulroute.rules.client" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes
  verbs:
    - get
    - list
    - watch
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - get
    - list
    - watch
{{- end }}

{{- define "statefulroute.rules.view" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
    - podlinks/status
    - statefulroutes
    - statefulroutes/status
    - statefulroutes/scale
  verbs:
    - get
    - list
    - watch
{{- end }}

{{- define "statefulroute.rules.edit" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
    - statefulroutes
  verbs:
    - create
    - update
    - patch
    - delete
    - deletecollection
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes/scale
  verbs:
    - update
    - patch
{{- end }}

{{- define "statefulroute.rules.resolver" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - get
    - list
    - watch
    - create
    - patch
- apiGroups:
    - statefulroute.io
  resources:
    - statefulroutes
  verbs:
    - list
    - watch
- apiGroups:
    - ''
  resources:
    - pods
  verbs:
    - list
    - watch
{{- end }}

{{- define "statefulroute.rules.resolverLinkChanges" -}}
- apiGroups:
    - statefulroute.io
  resources:
    - podlinks
  verbs:
    - delete
{{- end }}

{{- define "statefulroute.rules.resolverTokens" -}}
- apiGroups:
    - authentication.k8s.io
  resources:
    - tokenreviews
  verbs:
    - create
{{- end }}

{{- define "statefulroute.rules.metricsReviews" -}}
- apiGroups:
    - authentication.k8s.io
  resources:
    - tokenreviews
  verbs:
    - create
- apiGroups:
    - authorization.k8s.io
  resources:
    - subjectaccessreviews
  verbs:
    - create
{{- end }}

{{- define "statefulroute.rules.metricsReader" -}}
- nonResourceURLs:
    - /metrics
  verbs:
    - get
{{- end }}
