{{/*
Fails if a value does not match its pattern. Arguments: the name of the value, the value, the pattern, and what to write
instead.
*/}}
{{- define "statefulroute.checkPattern" -}}
{{- $text := kindIs "invalid" (index . 1) | ternary "" (toString (index . 1)) -}}
{{- if not (regexMatch (printf "^(%s)$" (index . 2)) $text) -}}
{{- fail (printf "\n\n%s is %q: write %s." (first .) $text (last .)) -}}
{{- end -}}
{{- end -}}

{{/*
Fails if values are missing, which would otherwise end the rendering somewhere. Arguments: the group that contains them, the
start of their names, and their keys.
*/}}
{{- define "statefulroute.checkPresence" -}}
{{- $missing := list -}}
{{- range last . -}}
{{- if not (hasKey (first $) .) -}}
{{- $missing = append $missing (printf "%s%s" (index $ 1) .) -}}
{{- end -}}
{{- end -}}
{{- with $missing -}}
{{- fail (printf "\n\nno value for %s: set it, or if you upgrade with --reuse-values, use --reset-then-reuse-values, which adds the defaults of new values." (join ", " .)) -}}
{{- end -}}
{{- end -}}

{{/*
Checks that values.schema.json cannot express, or not in a sentence that says what to do.
*/}}
{{- define "statefulroute.checks" -}}
{{- include "statefulroute.presence" . -}}
{{- include "statefulroute.patterns" . -}}
{{- include "statefulroute.checkNamespace" . -}}
{{- with .Values.leaderElection -}}
{{- if and (not .enabled) (gt (int $.Values.replicas) 1) -}}
{{- fail (printf "\n\nreplicas is %d and leaderElection.enabled is false: without a leader all replicas would write; set replicas to 1, or enable leader election." (int $.Values.replicas)) -}}
{{- end -}}
{{- $strategy := $.Values.strategy | default (dict "type" "Recreate") -}}
{{- if and (not .enabled) (ne (default "RollingUpdate" $strategy.type) "Recreate") -}}
{{- fail "\n\nstrategy is set and leaderElection.enabled is false: two operators at the same time would both write; set strategy.type to Recreate, or enable leader election." -}}
{{- end -}}
{{- if le (int .leaseDurationSeconds) (int .renewDeadlineSeconds) -}}
{{- fail (printf "\n\nleaderElection.leaseDurationSeconds (%d) must be more than leaderElection.renewDeadlineSeconds (%d): the leader must stop before the next one may start." (int .leaseDurationSeconds) (int .renewDeadlineSeconds)) -}}
{{- end -}}
{{- if le (mul 10 .renewDeadlineSeconds) (mul 12 .retryPeriodSeconds) -}}
{{- fail (printf "\n\nleaderElection.renewDeadlineSeconds (%d) must be more than 1.2 times leaderElection.retryPeriodSeconds (%d): a failed renewal needs time for a retry." (int .renewDeadlineSeconds) (int .retryPeriodSeconds)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $strategy := dict "strategy" .Values.strategy "resolver.strategy" .Values.resolver.strategy -}}
{{- with $strategy -}}
{{- if and (eq (default "RollingUpdate" .type) "Recreate") .rollingUpdate -}}
{{- fail (printf "\n\n%s.type is Recreate, which ends all pods before others start: remove %s.rollingUpdate, or set %s.type to RollingUpdate." $name $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if le (int .Values.releaseOnUninstall.timeoutSeconds) (int .Values.terminationGracePeriodSeconds) -}}
{{- fail (printf "\n\nreleaseOnUninstall.timeoutSeconds (%d) must be more than terminationGracePeriodSeconds (%d): the operator may take that long to stop." (int .Values.releaseOnUninstall.timeoutSeconds) (int .Values.terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- if le (int .Values.releaseOnUninstall.deadlineSeconds) (int .Values.releaseOnUninstall.timeoutSeconds) -}}
{{- fail (printf "\n\nreleaseOnUninstall.deadlineSeconds (%d) must be more than releaseOnUninstall.timeoutSeconds (%d): the Job waits that long for the operator to stop." (int .Values.releaseOnUninstall.deadlineSeconds) (int .Values.releaseOnUninstall.timeoutSeconds)) -}}
{{- end -}}
{{- if and (eq (default "" .Values.dnsPolicy) "None") (not (default dict .Values.dnsConfig).nameservers) -}}
{{- fail "\n\ndnsPolicy is None: set dnsConfig.nameservers, too." -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "\n\nserviceMonitor.enabled and podMonitor.enabled are both true: every metric would be scraped twice; enable one of them." -}}
{{- end -}}
{{- include "statefulroute.checkNetworkPolicies" . -}}
{{- if .Values.metrics.authentication -}}
{{- if not (include "statefulroute.metricsSecret" .) -}}
{{- fail "\n\nmetrics.authentication is true: set metrics.tls.secretName or metrics.tls.certificate.create, too; tokens are not sent without TLS." -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.podMonitor.authorization) -}}
{{- fail "\n\nmetrics.authentication and podMonitor.enabled are true: set podMonitor.authorization to a Secret with a token, or use serviceMonitor, which can send the token of Prometheus' own account." -}}
{{- end -}}
{{- end -}}
{{- range $name, $tls := dict "metrics.tls" .Values.metrics.tls "resolver.tls" .Values.resolver.tls -}}
{{- if $tls.certificate.create -}}
{{- if $tls.secretName -}}
{{- fail (printf "\n\n%s.certificate.create is true and %s.secretName is %q: remove one of them; cert-manager would overwrite that Secret." $name $name $tls.secretName) -}}
{{- end -}}
{{- $issuer := $tls.certificate.issuerRef -}}
{{- if and (not $issuer.name) (or (ne $issuer.kind "Issuer") (ne $issuer.group "cert-manager.io")) -}}
{{- fail (printf "\n\n%s.certificate.issuerRef is a %s of %s without a name: set %s.certificate.issuerRef.name." $name $issuer.kind $issuer.group $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.profiling -}}
{{- if and .enabled (has (int .port) (list 8080 8081 8443 9002)) -}}
{{- fail (printf "\n\nprofiling.port is %d, at which operator or resolver listen already: use another number than 8080, 8081, 8443 and 9002." (int .port)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $service := dict "service" .Values.service "resolver.service" .Values.resolver.service "resolver.metricsService" .Values.resolver.metricsService -}}
{{- if and (gt (len (default list $service.ipFamilies)) 1) (not (hasSuffix "DualStack" (default "" $service.ipFamilyPolicy))) -}}
{{- fail (printf "\n\n%s.ipFamilies has two families: name one, or set %s.ipFamilyPolicy to PreferDualStack or RequireDualStack." $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $registry := dict "image.registry" .Values.image.registry "global.imageRegistry" (.Values.global).imageRegistry -}}
{{- include "statefulroute.checkPattern" (list $name $registry `([^/\s]*[^:/\s](/[^/\s]+)*/?)?` "a host like registry.example:5000, without https://, or nothing") -}}
{{- end -}}
{{- with .Values.imageCredentials -}}
{{- if and .registry (not (and .username .password)) -}}
{{- fail "\n\nimageCredentials.registry is set: set imageCredentials.username and imageCredentials.password, too." -}}
{{- end -}}
{{- end -}}
{{- with .Values.resolver -}}
{{- $account := include "statefulroute.accountName" (list $ "resolver" .) -}}
{{- if and .enabled .serviceAccount.create $.Values.serviceAccount.create (eq $account (include "statefulroute.serviceAccountName" $)) -}}
{{- fail (printf "\n\nresolver.serviceAccount.name and serviceAccount.name are both %q: set create of one of them to false, or use two names." $account) -}}
{{- end -}}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) -}}
{{- fail (printf "\n\nresolver.autoscaling.minReplicas (%d) must not be more than resolver.autoscaling.maxReplicas (%d)." (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- end -}}
{{- $resources := default dict .resources -}}
{{- $cpu := or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources) -}}
{{- if and .autoscaling.enabled (not .autoscaling.metrics) (not $cpu) -}}
{{- fail "\n\nresolver.autoscaling.enabled is true: set resolver.resources.requests.cpu, of which the target is a percentage, or resolver.autoscaling.metrics." -}}
{{- end -}}
{{- if ge (int .drainSeconds) (int .terminationGracePeriodSeconds) -}}
{{- fail (printf "\n\nresolver.drainSeconds (%d) must be less than resolver.terminationGracePeriodSeconds (%d): the kubelet kills the pod after that time." (int .drainSeconds) (int .terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- if and .authentication.allowUsers (not .authentication.tokenAudience) -}}
{{- fail "\n\nresolver.authentication.allowUsers is set: set resolver.authentication.tokenAudience, too; users are authenticated by their tokens." -}}
{{- end -}}
{{- if and .tls.clientCertificates (not (include "statefulroute.resolverSecret" $)) -}}
{{- fail "\n\nresolver.tls.clientCertificates is true: set resolver.tls.secretName to a Secret with tls.crt, tls.key and ca.crt, or resolver.tls.certificate.create." -}}
{{- end -}}
{{- if hasKey .service "metricsPort" -}}
{{- fail "\n\nresolver.service.metricsPort is set: set resolver.metricsService.port instead, because the metrics have a Service of their own." -}}
{{- end -}}
{{- if eq (int .service.httpPort) (int .service.grpcPort) -}}
{{- fail "\n\nresolver.service.httpPort and grpcPort must be two different numbers." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Checks that an upgrade leaves the operator in its namespace, where its Deployment is, or which the binding of its account names: an
operator in another one has another Lease, and both would write.
*/}}
{{- define "statefulroute.checkNamespace" -}}
{{- $namespace := include "statefulroute.namespace" . -}}
{{- $name := include "statefulroute.componentName" (list . "operator") -}}
{{- $installed := list -}}
{{- if and .Release.IsUpgrade (ne $namespace .Release.Namespace) -}}
{{- $deployment := lookup "apps/v1" "Deployment" .Release.Namespace $name -}}
{{- if eq .Release.Name (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $deployment) -}}
{{- $installed = append $installed .Release.Namespace -}}
{{- end -}}
{{- end -}}
{{- $kind := empty .Values.watchNamespaces | ternary "ClusterRoleBinding" "RoleBinding" -}}
{{- if and .Release.IsUpgrade .Values.rbac.create -}}
{{- range default (list "") .Values.watchNamespaces -}}
{{- range lookup "rbac.authorization.k8s.io/v1" $kind . $name | dig "subjects" list -}}
{{- $installed = append $installed .namespace -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range without $installed $namespace -}}
{{- fail (printf "\n\nthe installed operator is in namespace %s, and the upgraded one would be in %s: both would write for a while. Set namespaceOverride to %s, or uninstall the release before; links and routes stay unless crds.keep is false." . $namespace .) -}}
{{- end -}}
{{- end -}}

{{/*
Checks that clients and destinations have the format of `networkPolicy.kind`: the API server drops fields of the other kind, or refuses
them without naming the value.
*/}}
{{- define "statefulroute.checkNetworkPolicies" -}}
{{- $client := list "podSelector|namespaceSelector|ipBlock" "podSelector, namespaceSelector or ipBlock, as in a NetworkPolicy" -}}
{{- $destination := list "to|ports" "to or ports, as in a NetworkPolicy" -}}
{{- if eq .Values.networkPolicy.kind "CiliumNetworkPolicy" -}}
{{- $client = list "from[A-Z][A-Za-z]*" "fromEndpoints, fromEntities or another source of a CiliumNetworkPolicy" -}}
{{- $destination = list "to[A-Z][A-Za-z]*|icmps|authentication" "toEndpoints, toEntities, toPorts or another field of a CiliumNetworkPolicy" -}}
{{- end -}}
{{- range $where, $policy := dict "networkPolicy" .Values.networkPolicy "resolver.networkPolicy" .Values.resolver.networkPolicy -}}
{{- range $name, $format := dict "ingressFrom" $client "metricsFrom" $client "egress" $destination -}}
{{- range default list (get $policy $name) -}}
{{- range $key, $_ := . -}}
{{- include "statefulroute.checkPattern" (concat (list (printf "a field of %s.%s" $where $name) $key) $format) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
