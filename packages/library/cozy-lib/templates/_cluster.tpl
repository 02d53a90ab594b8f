{{/* A key of _cluster: list KEY DEFAULT $ */}}
{{- define "cozy-lib.cluster" -}}
{{- $key := index . 0 -}}
{{- $default := index . 1 -}}
{{- $root := index . 2 -}}
{{- get ($root.Values._cluster | default dict) $key | default $default | toString -}}
{{- end -}}

{{- define "cozy-lib.root-host" -}}
{{- include "cozy-lib.cluster" (list "root-host" "example.org" .) -}}
{{- end -}}

{{- define "cozy-lib.bundle-name" -}}
{{- include "cozy-lib.cluster" (list "bundle-name" "isp-full" .) -}}
{{- end -}}

{{- define "cozy-lib.cluster-domain" -}}
{{- include "cozy-lib.cluster" (list "cluster-domain" "cozy.local" .) -}}
{{- end -}}

{{- define "cozy-lib.images-registry" -}}
{{- include "cozy-lib.cluster" (list "images-registry" "" .) | trimSuffix "/" -}}
{{- end -}}

{{/*
An image, from the platform's registry if it has one: list IMAGE $
The registry of the image is what stands before its first slash and looks like a host (has a dot or a port, or is localhost).
*/}}
{{- define "cozy-lib.image" -}}
{{- $image := index . 0 -}}
{{- $registry := include "cozy-lib.images-registry" (index . 1) -}}
{{- if $registry -}}
{{- $first := splitList "/" $image | first -}}
{{- if and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $image = trimPrefix (printf "%s/" $first) $image -}}
{{- end -}}
{{- printf "%s/%s" $registry $image -}}
{{- else -}}
{{- $image -}}
{{- end -}}
{{- end -}}

{{- define "cozy-lib.scheduling" -}}
{{- toYaml (get (.Values._cluster | default dict) "scheduling" | default dict) -}}
{{- end -}}

{{/* Constraints that the platform's administrator puts on all Pods that spread; a list, or YAML text of one. */}}
{{- define "cozy-lib.topologySpread" -}}
{{- $scheduling := get (.Values._cluster | default dict) "scheduling" | default dict -}}
{{- $constraints := get $scheduling "globalAppTopologySpreadConstraints" -}}
{{- if kindIs "string" $constraints -}}
{{- $constraints = fromYamlArray $constraints -}}
{{- end -}}
{{- with $constraints -}}
topologySpreadConstraints:
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{- define "cozy-lib.branding" -}}
{{- toYaml (get (.Values._cluster | default dict) "branding" | default dict) -}}
{{- end -}}
