{{/* The release's full name: of the RayService, and in front of all else. KubeRay adds to it, and takes 47 characters. */}}
{{- define "momalisa.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $whole .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Of objects that no pod's template is compared with. */}}
{{- define "momalisa.labels" -}}
{{ include "momalisa.selector" . }}
app.kubernetes.io/name: momalisa
app.kubernetes.io/part-of: momalisa
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* By which policies and monitors know the pods of this release, of the old cluster and of the new one alike. */}}
{{- define "momalisa.selector" -}}
momalisa.dev/release: {{ include "momalisa.fullname" . }}
{{- end }}

{{/* The Service that KubeRay makes. */}}
{{- define "momalisa.service" -}}
{{ include "momalisa.fullname" . }}-serve-svc
{{- end }}

{{- define "momalisa.serviceAccount" -}}
{{ default (include "momalisa.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "momalisa.headServiceAccount" -}}
{{- if .Values.autoscaling.enabled -}}
{{ default (printf "%s-head" (include "momalisa.serviceAccount" .)) .Values.serviceAccount.headName }}
{{- else -}}
{{ include "momalisa.serviceAccount" . }}
{{- end -}}
{{- end }}

{{- define "momalisa.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- $path := ternary .Values.image.repository (printf "%s/%s" $registry .Values.image.repository) (empty $registry) -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $path .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $path (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end }}

{{- define "momalisa.priorityClass" -}}
{{- if .Values.priorityClass.create -}}
{{ printf "%s-%s" (include "momalisa.fullname" .) .Release.Namespace | trimSuffix "-" }}
{{- else -}}
{{ .Values.priorityClass.name }}
{{- end -}}
{{- end }}

{{- define "momalisa.sessionsSecret" -}}
{{ default (printf "%s-sessions" (include "momalisa.fullname" .)) .Values.access.sessions.existingSecret }}
{{- end }}

{{/* NAMESPACE/NAME as figures carry them, so that two releases of one Prometheus are told apart. */}}
{{- define "momalisa.figures" -}}
{{ printf "namespace=\"%s\",momalisa_release=\"%s\"" .Release.Namespace (include "momalisa.fullname" .) }}
{{- end }}
