{{/* Labels that select the Pods of a workload: list NAME $ */}}
{{- define "cozy-lib.selector" -}}
app.kubernetes.io/name: {{ index . 0 }}
app.kubernetes.io/instance: {{ (index . 1).Release.Name }}
{{- end -}}

{{/* Labels of an object: list NAME $ */}}
{{- define "cozy-lib.labels" -}}
{{ include "cozy-lib.selector" . }}
app.kubernetes.io/part-of: cozystack
app.kubernetes.io/managed-by: {{ (index . 1).Release.Service }}
{{- end -}}

{{/* A Pod that the restricted profile of Pod Security admits. */}}
{{- define "cozy-lib.pod-security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "cozy-lib.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
