{{/*
The command line of the operator. `statefulroute operator --help` has its meaning.
*/}}
{{- define "statefulroute.operatorArguments" -}}
- operator
- --bind-address=0.0.0.0:8080
{{- if .Values.leaderElection.enabled }}
- --leader-elect
- --lease-name={{ include "statefulroute.leaseName" . }}
- --lease-duration-seconds={{ int .Values.leaderElection.leaseDurationSeconds }}
- --renew-deadline-seconds={{ int .Values.leaderElection.renewDeadlineSeconds }}
- --retry-period-seconds={{ int .Values.leaderElection.retryPeriodSeconds }}
{{- else }}
- --no-leader-elect
{{- end }}
{{- range .Values.watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
- --parallel-writes={{ int .Values.parallelWrites }}
- --moves-per-second={{ int .Values.movesPerSecond }}
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- if .Values.hashUids }}
- --hash-uids
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}
