{{/* serveConfigV2. The application's args decide what is built, and another one restarts all; sizes and user_config are
the deployments' own, which Ray Serve changes in place. So sizes are here and not in args, where Structure has them too. */}}
{{- define "momalisa.serveConfig" -}}
{{- $v := .Values -}}
{{- $deployments := list
  (dict "name" "conductor" "user_config" (include "momalisa.conductorLife" . | fromYaml)
    "ray_actor_options" (dict "num_cpus" $v.deployments.conductor.numCpus "num_gpus" 0))
  (include "momalisa.deployment" (dict "name" "gateway" "scale" $v.deployments.gateway) | fromYaml
    | merge (dict "user_config" (include "momalisa.gatewayLife" . | fromYaml)))
  (include "momalisa.deployment" (dict "name" "text_encoder" "scale" $v.deployments.textEncoder) | fromYaml)
  (include "momalisa.deployment" (dict "name" "renderer" "scale" (include "momalisa.rendererScale" . | fromYaml)) | fromYaml)
  (include "momalisa.deployment" (dict "name" "assembler" "scale" $v.deployments.assembler) | fromYaml) -}}
{{- $application := dict "name" "momalisa" "route_prefix" "/" "import_path" "serve.app:build_app"
  "args" (include "momalisa.structure" . | fromYaml) "deployments" $deployments -}}
{{- $config := dict "proxy_location" "EveryNode" "http_options" (dict "host" "0.0.0.0" "port" 8000)
  "applications" (list $application) -}}
{{- if $v.tracing.enabled -}}
{{- $_ := set $config "tracing_config" (dict "enabled" true "sampling_ratio" $v.tracing.samplingRatio
  "exporter_import_path" "momalisa.service.on_ray.telemetry:otlp_exporter") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* momalisa.service.structure.Structure, but for sizes. The release is told apart by the Ray cluster's name, which KubeRay
puts into each pod: here it would have to change with each upgrade, and restart what an upgrade in place must not. */}}
{{- define "momalisa.structure" -}}
{{- $v := .Values -}}
{{- $structure := deepCopy $v.application -}}
{{- range list "drawing" "encoding" "leading" -}}
{{- if not (index $structure .) -}}{{- $_ := unset $structure . -}}{{- end -}}
{{- end -}}
{{- $_ := set $structure "bucket" $v.bucket.uri -}}
{{- $_ := set $structure "is_open" $v.access.isOpen -}}
{{- $_ := set $structure "has_visitors" $v.access.visitors -}}
{{- if $v.access.visitors -}}
{{- $_ := set $structure "session_secrets_file" (printf "/etc/momalisa/sessions/%s" (ternary $v.access.sessions.secretKey "secrets" (ne $v.access.sessions.existingSecret ""))) -}}
{{- end -}}
{{- if $v.access.keys.existingSecret -}}
{{- $_ := set $structure "keys_file" (printf "/etc/momalisa/keys/%s" $v.access.keys.secretKey) -}}
{{- end -}}
{{- if $v.page.enabled -}}
{{- $_ := set $structure "web_folder" "/app/serve/web" -}}
{{- end -}}
{{- toYaml $structure -}}
{{- end }}

{{/* momalisa.service.structure.ConductorLife. Helm drops keys that are set to null: a missing keep_days was null. */}}
{{- define "momalisa.conductorLife" -}}
{{- $retention := deepCopy .Values.retention -}}
{{- if not (hasKey $retention "keep_days") -}}
{{- $_ := set $retention "keep_days" nil -}}
{{- end -}}
{{- toYaml (dict "models" .Values.models "admission" .Values.admission "moderation" .Values.moderation "retention" $retention) -}}
{{- end }}

{{/* momalisa.service.structure.GatewayLife. */}}
{{- define "momalisa.gatewayLife" -}}
{{- toYaml (dict "limits" .Values.limits "streams" .Values.streams "moderation" .Values.moderation) -}}
{{- end }}

{{/* Nodes with GPUs count no CPUs, so that nothing but renderers comes there. */}}
{{- define "momalisa.rendererScale" -}}
{{- $scale := deepCopy .Values.deployments.renderer -}}
{{- $_ := set $scale (ternary "numCpus" "numGpus" (not (empty .Values.rendererGroups))) 0 -}}
{{- $_ := set $scale "policy" (dict "policy_function" "momalisa.service.on_ray.scaling:scale_renderers") -}}
{{- toYaml $scale -}}
{{- end }}

{{/* Of {name, scale}. A deployment without replicas counts as healthy, and KubeRay switches to what is healthy: so there is
one at first, and none only later. Also where there are always as many it is autoscaling_config, since Ray Serve restarts
all deployments where another number of them has one. */}}
{{- define "momalisa.deployment" -}}
{{- $s := .scale -}}
name: {{ .name }}
ray_actor_options:
  num_cpus: {{ $s.numCpus }}
  num_gpus: {{ default 0 $s.numGpus }}
graceful_shutdown_timeout_s: {{ $s.gracefulShutdownTimeoutSeconds }}
autoscaling_config:
  min_replicas: {{ int $s.minReplicas }}
  initial_replicas: {{ max 1 (int $s.minReplicas) }}
  max_replicas: {{ int $s.maxReplicas }}
  upscale_delay_s: {{ $s.upscaleDelaySeconds }}
  downscale_delay_s: {{ $s.downscaleDelaySeconds }}
  look_back_period_s: {{ max 1 (min 30 (int $s.downscaleDelaySeconds)) }}
  {{- with $s.policy }}
  policy: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
