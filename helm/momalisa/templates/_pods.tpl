{{/* Ray's pods. Nothing here may differ from one rendering to the next: KubeRay compares these templates, and builds a
second cluster where they differ. So there is no checksum, no chart's version and nothing random in this file. */}}

{{- define "momalisa.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "momalisa.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
# Large caches are not walked through at each start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "momalisa.pullSecrets" -}}
{{- with default .Values.image.pullSecrets .Values.global.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "momalisa.extraEnv" -}}
{{- range $name, $value := .Values.extraEnv }}
- name: {{ $name | quote }}
{{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
{{- else }}
  {{- /* Helm's numbers are floats, and a large one would become 1e+08. */}}
  value: {{ ternary (toJson $value) (toString $value) (kindIs "float64" $value) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "momalisa.env" -}}
- {name: HOME, value: /home/momalisa}
- {name: PYTHONUNBUFFERED, value: "1"}
{{- end }}

{{/* For whatever speaks to the bucket. */}}
{{- define "momalisa.bucketEnv" -}}
{{- if .Values.bucket.existingSecret }}
- {name: GOOGLE_APPLICATION_CREDENTIALS, value: {{ printf "/etc/momalisa/bucket/%s" .Values.bucket.secretKey | quote }}}
{{- end }}
{{- end }}

{{/* Secrets are folders, never subPath: the kubelet swaps their content where a Secret changes. */}}
{{- define "momalisa.bucketVolume" -}}
{{- if .Values.bucket.existingSecret }}
- name: bucket
  secret: {secretName: {{ .Values.bucket.existingSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "momalisa.bucketMount" -}}
{{- if .Values.bucket.existingSecret }}
- {name: bucket, mountPath: /etc/momalisa/bucket, readOnly: true}
{{- end }}
{{- end }}

{{/* Of {root, component, pod}: a template for the head, the workers or a group of renderers. The head runs no replica, and
so holds neither models nor Secrets. */}}
{{- define "momalisa.rayPod" -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "momalisa.selector" .root | nindent 4 }}
    app.kubernetes.io/part-of: momalisa
    app.kubernetes.io/component: {{ .component }}
    {{- if and (eq .component "head") $v.autoscaling.enabled }}
    momalisa.dev/autoscaled: "true"
    {{- end }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .pod.podAnnotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
spec:
  # A container that died in place would be a Ray node that knows nothing of its cluster: KubeRay makes a new pod.
  restartPolicy: Never
  serviceAccountName: {{ ternary (include "momalisa.headServiceAccount" .root) (include "momalisa.serviceAccount" .root) (eq .component "head") }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int $v.terminationGracePeriodSeconds }}
  {{- with include "momalisa.priorityClass" .root }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- include "momalisa.pullSecrets" .root | nindent 2 }}
  securityContext: {{ include "momalisa.podSecurity" .root | nindent 4 }}
  {{- with .pod.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $own := dict "matchLabels" (dict "momalisa.dev/release" (include "momalisa.fullname" $.root) "app.kubernetes.io/component" $.component) }}
    - {{ toYaml (ternary . (set (deepCopy .) "labelSelector" $own) (hasKey . "labelSelector")) | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    - name: ray
      image: {{ include "momalisa.image" .root }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      resources: {{ toYaml .pod.resources | nindent 8 }}
      securityContext: {{ include "momalisa.containerSecurity" .root | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      ports: {{ include "momalisa.ports" . | nindent 8 }}
      readinessProbe: {{ include "momalisa.readiness" . | nindent 8 }}
      env: {{ include "momalisa.rayEnv" . | nindent 8 }}
      volumeMounts: {{ include "momalisa.rayMounts" . | nindent 8 }}
  volumes: {{ include "momalisa.rayVolumes" . | nindent 4 }}
{{- end }}

{{/* Renderers' pods have no port "serve", so the Service, which goes by that name, sends no visitor there: they may be
gone any moment. */}}
{{- define "momalisa.ports" -}}
{{- if eq .component "head" }}
- {name: gcs, containerPort: 6379}
- {name: dashboard, containerPort: 8265}
- {name: client, containerPort: 10001}
{{- end }}
{{- if ne .component "renderer" }}
- {name: serve, containerPort: 8000}
{{- end }}
- {name: metrics, containerPort: 8080}
{{- end }}

{{/* KubeRay's own probe of workers starts two wgets and gives them 2 s. A head that is busy for a moment stays ready, since
it is by its Service that workers find it; a worker without a proxy that is well goes out of the visitors' way at once. */}}
{{- define "momalisa.readiness" -}}
{{- if eq .component "workers" -}}
httpGet: {path: /-/healthz, port: serve}
failureThreshold: 2
{{- else -}}
httpGet: {path: /api/healthz, port: 52365}
failureThreshold: 10
{{- end }}
initialDelaySeconds: 3
periodSeconds: 2
timeoutSeconds: 10
{{- end }}

{{- define "momalisa.rayEnv" -}}
{{- include "momalisa.ownRayEnv" . }}
{{- include "momalisa.extraEnv" .root }}
{{- end }}

{{- define "momalisa.ownRayEnv" -}}
{{- $v := .root.Values -}}
{{- include "momalisa.env" .root }}
{{- if ne .component "head" }}
{{- include "momalisa.bucketEnv" .root }}
- {name: MOMALISA_CACHE, value: /var/cache/momalisa}
- {name: HF_HOME, value: /var/cache/momalisa/huggingface}
{{- if not .pod.spot }}
- {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: {{ include "momalisa.drainSeconds" .root | quote }}}
{{- end }}
{{- end }}
- {name: PYTHONPATH, value: /app}
# Headers by which a client would tell Ray Serve what is not the client's to tell are dropped.
- {name: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, value: momalisa.service.ray_headers.in_front_of_ray_serve}
{{- if $v.tracing.enabled }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ $v.tracing.endpoint | quote }}}
- {name: OTEL_SERVICE_NAME, value: {{ include "momalisa.fullname" .root }}}
{{- end }}
{{- end }}

{{/* After SIGTERM Ray Serve moves replicas elsewhere until so much is left as they may take to stop; Ray's own 30 s would
leave nothing. What is left of the pods' grace is for its processes to end. A head has no replicas to move; a spot node is
gone within half a minute, whatever is asked for, so there a renderer had better stop at once, and end its chunk. */}}
{{- define "momalisa.drainSeconds" -}}
{{ sub (int .Values.terminationGracePeriodSeconds) 20 }}
{{- end }}

{{- define "momalisa.rayMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /home/momalisa}
{{- if ne .component "head" }}
- {name: cache, mountPath: /var/cache/momalisa}
{{- include "momalisa.bucketMount" .root }}
{{- end }}
{{- if eq .component "workers" }}
{{- if .root.Values.access.visitors }}
- {name: sessions, mountPath: /etc/momalisa/sessions, readOnly: true}
{{- end }}
{{- if .root.Values.access.keys.existingSecret }}
- {name: keys, mountPath: /etc/momalisa/keys, readOnly: true}
{{- end }}
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "momalisa.rayVolumes" -}}
{{- $v := .root.Values -}}
- {name: tmp, emptyDir: {}}
- {name: home, emptyDir: {}}
{{- if ne .component "head" }}
- name: cache
  {{- if eq $v.modelCache.type "ephemeral" }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $v.modelCache.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ $v.modelCache.size }}}}
  {{- else }}
  emptyDir: {sizeLimit: {{ $v.modelCache.size }}}
  {{- end }}
{{- include "momalisa.bucketVolume" .root }}
{{- end }}
{{- if eq .component "workers" }}
{{- if $v.access.visitors }}
- name: sessions
  secret: {secretName: {{ include "momalisa.sessionsSecret" .root }}, defaultMode: 0440}
{{- end }}
{{- if $v.access.keys.existingSecret }}
- name: keys
  secret: {secretName: {{ $v.access.keys.existingSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- if and (eq .component "head") $v.autoscaling.enabled }}
# For the autoscaler's container alone.
- name: kubernetes-api
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
