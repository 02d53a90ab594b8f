{{- define "platform.source.kind" -}}
{{- $kind := .Values.sourceRef.kind -}}
{{- if not (has $kind (list "OCIRepository" "GitRepository")) -}}
{{- fail (printf "sourceRef.kind is %q; it must be one of OCIRepository, GitRepository" (toString $kind)) -}}
{{- end -}}
{{- $kind -}}
{{- end -}}

{{/* Folder of the packages: an artifact holds them at its root, the Git repository in packages/. */}}
{{- define "platform.source.path" -}}
{{- .Values.sourceRef.path | default (ternary "/packages" "/" (eq .Values.sourceRef.kind "GitRepository")) -}}
{{- end -}}
