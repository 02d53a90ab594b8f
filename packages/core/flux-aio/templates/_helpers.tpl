{{/* Labels of all objects but the Service, whose labels are never versioned. */}}
{{- define "flux.labels" -}}
app.kubernetes.io/name: flux
app.kubernetes.io/part-of: flux
app.kubernetes.io/version: {{ .Chart.AppVersion }}
{{- end -}}
