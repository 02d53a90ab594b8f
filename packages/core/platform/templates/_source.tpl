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

{{/*
The spec for the copy of a source, as JSON: dict "kind" KIND "origin" OBJECT "pinned" WHETHER. What it follows is kept for people to
read; when pinned, the digest or the commit that was fetched beats it (specification of both kinds).
*/}}
{{- define "platform.source.copy" -}}
{{- $spec := omit .origin.spec "suspend" -}}
{{- $revision := ternary (dig "status" "artifact" "revision" "" .origin) "" (not (empty .pinned)) -}}
{{- $wanted := get $spec "ref" | default dict -}}
{{- if eq .kind "OCIRepository" -}}
{{- with regexFind "sha256:[0-9a-f]{64}$" $revision }}{{ $wanted = merge (dict "digest" .) $wanted }}{{ end -}}
{{- else -}}
{{- with regexFind "[0-9a-f]{40,64}$" $revision }}{{ $wanted = merge (dict "commit" .) $wanted }}{{ end -}}
{{- end -}}
{{- if $wanted }}{{ $spec = merge (dict "ref" $wanted) (omit $spec "ref") }}{{ end -}}
{{- toJson $spec -}}
{{- end -}}
