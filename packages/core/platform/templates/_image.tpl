{{/* An image, from the registry that replaces all if there is one, as packages have it: list IMAGE $ */}}
{{- define "platform.image" -}}
{{- $image := index . 0 -}}
{{- with (index . 1).Values.imagesRegistry | trimSuffix "/" -}}
{{- $first := splitList "/" $image | first -}}
{{- if and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $image = trimPrefix (printf "%s/" $first) $image -}}
{{- end -}}
{{- $image = printf "%s/%s" . $image -}}
{{- end -}}
{{- $image -}}
{{- end -}}
