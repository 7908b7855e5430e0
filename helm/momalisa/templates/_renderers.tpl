{{/* Of {root, group}: a group of pods with GPUs, with what its values leave unsaid. */}}
{{- define "momalisa.rendererGroup" -}}
{{- $g := .group -}}
{{- $resources := deepCopy (default (dict "requests" (dict "cpu" "2" "memory" "16Gi") "limits" (dict "cpu" "4" "memory" "16Gi")) $g.resources) -}}
{{- range list "requests" "limits" -}}
{{- $_ := set $resources . (merge (dict "nvidia.com/gpu" ($g.gpus | int | toString)) (default (dict) (index $resources .))) -}}
{{- end -}}
{{- $selector := deepCopy (default (dict) $g.nodeSelector) -}}
{{- $tolerations := default (list) $g.tolerations -}}
{{- with $g.gpuType }}{{- $_ := set $selector "cloud.google.com/gke-accelerator" . -}}{{- end -}}
{{- if $g.spot -}}
{{- $_ := set $selector "cloud.google.com/gke-spot" "true" -}}
{{- $tolerations = append $tolerations (dict "key" "cloud.google.com/gke-spot" "operator" "Equal" "value" "true" "effect" "NoSchedule") -}}
{{- end -}}
{{- $pod := dict "resources" $resources "nodeSelector" $selector "tolerations" $tolerations "affinity" $g.affinity
  "topologySpreadConstraints" $g.topologySpreadConstraints "podAnnotations" $g.podAnnotations "spot" $g.spot -}}
groupName: {{ $g.name }}
replicas: {{ int (default 0 $g.replicas) }}
minReplicas: {{ int (default 0 $g.replicas) }}
# KubeRay never changes it in a cluster that runs: the deployment's maxReplicas and the quota are the limits.
maxReplicas: {{ ternary (int (default 100 $g.maxReplicas)) (int (default 0 $g.replicas)) .root.Values.autoscaling.enabled }}
{{- if and $g.idleTimeoutSeconds .root.Values.autoscaling.enabled }}
idleTimeoutSeconds: {{ int $g.idleTimeoutSeconds }}
{{- end }}
rayStartParams: {num-cpus: "0"}
template: {{ include "momalisa.rayPod" (dict "root" .root "component" "renderer" "pod" $pod) | nindent 2 }}
{{- end }}
