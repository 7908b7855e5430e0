{{/* What the schema cannot say: values that contradict each other. Each message names the fix. */}}
{{- define "momalisa.check" -}}
{{- $v := .Values -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "momalisa.fullname" .)) -}}
{{- fail (printf "\nthe name %s cannot be a RayService's: it begins with a letter and has lower-case letters, digits and '-'; set fullnameOverride" (include "momalisa.fullname" .)) -}}
{{- end -}}
{{- if not $v.bucket.uri -}}
{{- fail "\nbucket.uri is missing: set it to gs://BUCKET/PREFIX, where everything is kept that must not be lost" -}}
{{- end -}}
{{- if and $v.access.visitors (not $v.page.enabled) (not $v.access.isOpen) (not $v.access.keys.existingSecret) -}}
{{- fail "\nnobody could ask for walks but browsers, and there is no page: set page.enabled, or access.keys.existingSecret" -}}
{{- end -}}
{{- if and (not $v.access.visitors) (not $v.access.isOpen) (not $v.access.keys.existingSecret) -}}
{{- fail "\nnobody could ask for walks: set access.visitors, access.keys.existingSecret or access.isOpen" -}}
{{- end -}}
{{- if and $v.tests.enabled $v.tests.walk (not $v.access.visitors) (not $v.access.isOpen) (not $v.tests.existingSecret) -}}
{{- fail "\nhelm test could not ask for a walk: set tests.existingSecret to a Secret with an API key, or tests.walk to false" -}}
{{- end -}}
{{- range $name := list "gateway" "textEncoder" "renderer" "assembler" -}}
{{- $scale := index $v.deployments $name -}}
{{- if gt (int $scale.minReplicas) (int $scale.maxReplicas) -}}
{{- fail (printf "\ndeployments.%s: minReplicas is %v and maxReplicas %v: the former is not to be above the latter" $name $scale.minReplicas $scale.maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- if ge (int $v.limits.max_streams) (int $v.application.max_open_requests) -}}
{{- fail (printf "\nlimits.max_streams is %v: take fewer than application.max_open_requests, which is %v, or event streams keep everything else out" $v.limits.max_streams $v.application.max_open_requests) -}}
{{- end -}}
{{- $ids := list -}}
{{- range $v.models -}}{{- $ids = append $ids .id -}}{{- end -}}
{{- if ne (len $ids) (len (uniq $ids)) -}}
{{- fail (printf "\nmodels: two have one id (%s): give each its own" (join ", " $ids)) -}}
{{- end -}}
{{- if and $v.rendererGroups (not $v.deployments.renderer.numGpus) -}}
{{- fail "\ndeployments.renderer.numGpus is 0: take 1, or a part of one; or make rendererGroups empty, for renderers on CPUs" -}}
{{- end -}}
{{- include "momalisa.checkLeading" . -}}
{{- include "momalisa.checkGroups" . -}}
{{- include "momalisa.checkPods" . -}}
{{- include "momalisa.checkAccounts" . -}}
{{- if and $v.gcsFaultTolerance.enabled (not $v.gcsFaultTolerance.redisAddress) -}}
{{- fail "\ngcsFaultTolerance.redisAddress is missing: set it to HOST:PORT of the Redis that keeps Ray's tables" -}}
{{- end -}}
{{- if and $v.tracing.enabled (not $v.tracing.endpoint) -}}
{{- fail "\ntracing.endpoint is missing: set it to the collector, such as http://collector.monitoring:4318" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) (not $v.httpRoute.gateway.create) -}}
{{- fail "\nhttpRoute hangs on nothing: set httpRoute.parentRefs to your Gateway, or httpRoute.gateway.create" -}}
{{- end -}}
{{- if and $v.httpRoute.gateway.create (not (and $v.httpRoute.gateway.className (or $v.httpRoute.gateway.tlsSecretName (hasKey $v.httpRoute.gateway.annotations "networking.gke.io/certmap")))) -}}
{{- fail "\nhttpRoute.gateway needs className, and for HTTPS tlsSecretName or the annotation networking.gke.io/certmap" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- fail "\ningress.hosts is empty: name the host that visitors come to" -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled (not $v.application.serves_metrics) -}}
{{- fail "\nserviceMonitor reads /metrics, which application.serves_metrics switches off: set one of them differently" -}}
{{- end -}}
{{- if and $v.prometheusRule.enabled (not (and $v.serviceMonitor.enabled $v.podMonitor.enabled)) -}}
{{- fail "\nprometheusRule needs the figures that serviceMonitor and podMonitor bring: enable both" -}}
{{- end -}}
{{- end }}

{{/* As momalisa.service.conductor_config does, whose numbers hold where the values say none. */}}
{{- define "momalisa.checkLeading" -}}
{{- $renew := dig "renew_s" 3 .Values.application.leading -}}
{{- $patience := dig "patience_s" 10 .Values.application.leading -}}
{{- if ge (mulf 2 $renew) (float64 $patience) -}}
{{- fail (printf "\napplication.leading: renew_s is %v and patience_s %v: take a renew_s below half of patience_s" $renew $patience) -}}
{{- end -}}
{{- end }}

{{/* Pods that would never come, or never suffice. */}}
{{- define "momalisa.checkGroups" -}}
{{- $v := .Values -}}
{{- $d := $v.deployments -}}
{{- $gpus := float64 $d.renderer.numGpus -}}
{{- $names := list "workers" -}}
{{- $room := 0 -}}
{{- $largest := 0 -}}
{{- range $v.rendererGroups -}}
{{- if has .name $names -}}
{{- fail (printf "\nrendererGroups: the name %s is taken; each group needs its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $replicas := int (default 0 .replicas) -}}
{{- $most := int (default 100 .maxReplicas) -}}
{{- if and $v.autoscaling.enabled (gt $replicas $most) -}}
{{- fail (printf "\nrendererGroups: %s has %d replicas at least and %d at most: raise its maxReplicas" .name $replicas $most) -}}
{{- end -}}
{{- $largest = max $largest (int .gpus) -}}
{{- $room = add $room (mul $replicas (include "momalisa.renderersOfAPod" (dict "gpus" .gpus "numGpus" $gpus) | int)) -}}
{{- end -}}
{{- if $v.rendererGroups -}}
{{- if and (gt $gpus 1.0) (ne $gpus (floor $gpus)) -}}
{{- fail (printf "\ndeployments.renderer.numGpus is %v: take a part of one GPU, or a whole number" $gpus) -}}
{{- end -}}
{{- if gt $gpus (float64 $largest) -}}
{{- fail (printf "\ndeployments.renderer.numGpus is %v, and no pod of rendererGroups has more than %d: lower it, or raise a group's gpus" $gpus $largest) -}}
{{- end -}}
{{- if and (not $v.autoscaling.enabled) (lt (int $room) (max 1 (int $d.renderer.minReplicas))) -}}
{{- fail (printf "\nno renderer would ever start, or too few: without autoscaling the rendererGroups have room for %d, and deployments.renderer wants %d; set the groups' replicas, or autoscaling.enabled" $room (max 1 (int $d.renderer.minReplicas))) -}}
{{- end -}}
{{- end -}}
{{- $onWorkers := list "gateway" "conductor" "textEncoder" "assembler" -}}
{{- if not $v.rendererGroups -}}{{- $onWorkers = append $onWorkers "renderer" -}}{{- end -}}
{{- $cpus := 0.0 -}}
{{- range $name := $onWorkers -}}
{{- $scale := index $d $name -}}
{{- if gt (float64 $scale.numCpus) (float64 $v.workers.numCpus) -}}
{{- fail (printf "\ndeployments.%s.numCpus is %v, and a worker has %v by Ray's count: raise workers.numCpus" $name $scale.numCpus $v.workers.numCpus) -}}
{{- end -}}
{{- $cpus = addf $cpus (mulf (float64 $scale.numCpus) (float64 (max 1 (int (default 1 $scale.minReplicas))))) -}}
{{- end -}}
{{- $there := mulf (float64 $v.workers.numCpus) (float64 (ternary $v.workers.maxReplicas $v.workers.replicas $v.autoscaling.enabled)) -}}
{{- if gt $cpus $there -}}
{{- fail (printf "\nworkers have %v CPUs by Ray's count, and the deployments' least replicas need %v: raise workers.numCpus or workers.replicas" $there $cpus) -}}
{{- end -}}
{{- if and $v.podDisruptionBudgets.workers (ge (int $v.podDisruptionBudgets.workers) (int $v.workers.replicas)) -}}
{{- fail (printf "\npodDisruptionBudgets.workers is %d of %d workers: no node with one could ever be drained; lower it (0: none), or raise workers.replicas" (int $v.podDisruptionBudgets.workers) (int $v.workers.replicas)) -}}
{{- end -}}
{{- end }}

{{/* Of {gpus, numGpus}: how many renderers fit. A part of a GPU is a part of one, never of two. */}}
{{- define "momalisa.renderersOfAPod" -}}
{{- if le .numGpus 1.0 -}}
{{ mul (int .gpus) (int (floor (addf (divf 1.0 .numGpus) 0.0001))) }}
{{- else -}}
{{ floor (divf (float64 .gpus) .numGpus) | int }}
{{- end -}}
{{- end }}

{{/* What is the chart's in a pod, and what has to happen before it is killed. */}}
{{- define "momalisa.checkPods" -}}
{{- $v := .Values -}}
{{- $drain := include "momalisa.drainSeconds" . | int -}}
{{- range $name, $scale := $v.deployments -}}
{{- if gt (float64 (default 0 $scale.gracefulShutdownTimeoutSeconds)) (float64 $drain) -}}
{{- fail (printf "\ndeployments.%s.gracefulShutdownTimeoutSeconds is %v, and pods are drained for %d: raise terminationGracePeriodSeconds to %v or more" $name $scale.gracefulShutdownTimeoutSeconds $drain (add 20 (ceil $scale.gracefulShutdownTimeoutSeconds))) -}}
{{- end -}}
{{- end -}}
{{- range include "momalisa.ownRayEnv" (dict "root" . "component" "workers" "pod" (dict)) | fromYamlArray -}}
{{- if hasKey $v.extraEnv .name -}}
{{- fail (printf "\nextraEnv: %s is the chart's own: leave it out" .name) -}}
{{- end -}}
{{- end -}}
{{- range $name := keys $v.podLabels -}}
{{- if or (regexMatch "^(momalisa\\.dev|ray\\.io)/" $name) (has $name (list "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/part-of" "app.kubernetes.io/created-by")) -}}
{{- fail (printf "\npodLabels: %s is the chart's own or KubeRay's, by which policies and the operator know pods: take another name" $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "momalisa.checkAccounts" -}}
{{- $v := .Values -}}
{{- if and $v.autoscaling.enabled (eq (include "momalisa.serviceAccount" .) (include "momalisa.headServiceAccount" .)) -}}
{{- fail "\nserviceAccount.headName is all pods' account too, which would give each of them the autoscaler's rights: take another name" -}}
{{- end -}}
{{- if and (hasKey $v.serviceAccount.annotations "iam.gke.io/gcp-service-account") $v.networkPolicy.enabled (not $v.networkPolicy.gke) -}}
{{- fail "\nserviceAccount.annotations names a Google account, whose tokens the policies would keep out: set networkPolicy.gke to true" -}}
{{- end -}}
{{- end }}
