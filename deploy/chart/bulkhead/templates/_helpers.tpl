{{- define "bulkhead.selector" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bulkhead.labels" -}}
{{ include "bulkhead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "bulkhead.name" -}}
{{- if eq .Release.Name "bulkhead" }}bulkhead{{ else }}{{ printf "%s-bulkhead" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "bulkhead.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The kubelet probes from the node, whose network this is. */}}
{{- define "bulkhead.probe" -}}
{{- $address := .listen -}}
{{- $port := regexFind "[0-9]+$" $address -}}
{{- $host := trimSuffix (printf ":%s" $port) $address | trimPrefix "[" | trimSuffix "]" -}}
httpGet:
{{- if not (contains "$" $host) }}
  host: {{ if or (eq $host "") (eq $host "0.0.0.0") }}127.0.0.1{{ else if eq $host "::" }}"::1"{{ else }}{{ $host | quote }}{{ end }}
{{- end }}
  port: {{ $port }}
  path: {{ .path }}
{{- end }}

{{/*
Root, for Kubernetes gives capabilities to no other user. Of root's powers only
NET_ADMIN is left: nftables, conntrack and the netfilter log want it.
*/}}
{{- define "bulkhead.security" -}}
securityContext:
  runAsUser: 0
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL], add: [NET_ADMIN]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}
