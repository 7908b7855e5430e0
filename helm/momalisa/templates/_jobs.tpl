{{/* Of {root, component, arguments, resources, usesBucket, key, deadlineSeconds}: a pod of the chart's own, no node of Ray. */}}
{{- define "momalisa.jobPod" -}}
{{- $v := .root.Values -}}
restartPolicy: Never
{{- with .deadlineSeconds }}
activeDeadlineSeconds: {{ . }}
{{- end }}
serviceAccountName: {{ include "momalisa.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "momalisa.pullSecrets" .root }}
securityContext: {{ include "momalisa.podSecurity" .root | nindent 2 }}
containers:
  - name: {{ .component }}
    image: {{ include "momalisa.image" .root }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args: {{ toYaml .arguments | nindent 6 }}
    resources: {{ toYaml .resources | nindent 6 }}
    securityContext: {{ include "momalisa.containerSecurity" .root | nindent 6 }}
    terminationMessagePolicy: FallbackToLogsOnError
    env:
      {{- include "momalisa.env" .root | nindent 6 }}
      {{- if .usesBucket }}
      {{- include "momalisa.bucketEnv" .root | nindent 6 }}
      {{- end }}
      {{- include "momalisa.extraEnv" .root | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: home, mountPath: /home/momalisa}
      {{- if .usesBucket }}
      - {name: serve, mountPath: /etc/momalisa/serve, readOnly: true}
      {{- include "momalisa.bucketMount" .root | nindent 6 }}
      {{- with $v.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- if .key }}
      - {name: key, mountPath: /etc/momalisa/key, readOnly: true}
      {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: home, emptyDir: {}}
  {{- if .usesBucket }}
  - {name: serve, configMap: {name: {{ include "momalisa.fullname" .root }}-serve}}
  {{- include "momalisa.bucketVolume" .root | nindent 2 }}
  {{- with $v.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with .key }}
  - name: key
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
{{- end }}
