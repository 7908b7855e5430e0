{{/* Of {to, ports}: a way out, and none where nobody is named: an empty list would be everybody. */}}
{{- define "momalisa.wayOut" -}}
{{- if .to }}
- to: {{ toYaml .to | nindent 4 }}
  ports: {{ toYaml .ports | nindent 4 }}
{{- end }}
{{- end }}

{{- define "momalisa.dns" -}}
{{- $ports := list (dict "protocol" "UDP" "port" 53) (dict "protocol" "TCP" "port" 53) -}}
{{- include "momalisa.wayOut" (dict "to" .Values.networkPolicy.dns "ports" $ports) }}
{{- if .Values.networkPolicy.gke }}
# NodeLocal DNSCache, which is pods to Dataplane V2 and an address to others, and Cloud DNS for GKE.
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: node-local-dns}}
    - ipBlock: {cidr: 169.254.20.10/32}
    - ipBlock: {cidr: 169.254.169.254/32}
  ports: {{ toYaml $ports | nindent 4 }}
{{- end }}
{{- end }}

{{/* The ways out of whatever uses the bucket. */}}
{{- define "momalisa.egress" -}}
{{- include "momalisa.dns" . }}
{{- include "momalisa.wayOut" (dict "to" .Values.networkPolicy.storage "ports" (list (dict "protocol" "TCP" "port" 443))) }}
{{- if .Values.networkPolicy.gke }}
# The metadata server, which hands out Workload Identity's tokens: one address as Dataplane V2 sees it, one as Calico does.
- to: [{ipBlock: {cidr: 169.254.169.254/32}}]
  ports: [{protocol: TCP, port: 80}, {protocol: TCP, port: 8080}]
- to: [{ipBlock: {cidr: 169.254.169.252/32}}]
  ports: [{protocol: TCP, port: 987, endPort: 988}]
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "momalisa.redis" -}}
{{- with .Values.gcsFaultTolerance }}
{{- if .enabled }}
{{- $port := .redisAddress | splitList ":" | last | int }}
{{- include "momalisa.wayOut" (dict "to" .networkPeers "ports" (list (dict "protocol" "TCP" "port" $port))) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "momalisa.apiServer" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.apiServerPorts }}{{ $ports = append $ports (dict "protocol" "TCP" "port" (int .)) }}{{ end -}}
{{- include "momalisa.wayOut" (dict "to" .Values.networkPolicy.apiServer "ports" $ports) }}
{{- end }}
