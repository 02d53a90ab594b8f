{{/* The variant, checked. */}}
{{- define "installer.variant" -}}
{{- $variant := .Values.cozystackOperator.variant -}}
{{- if not (has $variant (list "talos" "generic" "hosted")) -}}
{{- fail (printf "cozystackOperator.variant is %q; it must be one of talos, generic, hosted" (toString $variant)) -}}
{{- end -}}
{{- $variant -}}
{{- end -}}

{{/* "true" when Pods run on the host's network, because there may be no other yet. */}}
{{- define "installer.hostNetwork" -}}
{{- ne (include "installer.variant" .) "hosted" -}}
{{- end -}}

{{/*
The operator's image, from the registry that replaces all. What is left to be filled in is refused here, and not by a Pod that
cannot start.
*/}}
{{- define "installer.image" -}}
{{- $image := .Values.cozystackOperator.image -}}
{{- include "installer.filled" (list "cozystackOperator.image" $image) -}}
{{- with .Values.imagesRegistry -}}
{{- $first := splitList "/" $image | first -}}
{{- if and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $image = trimPrefix (printf "%s/" $first) $image -}}
{{- end -}}
{{- $image = printf "%s/%s" . $image -}}
{{- end -}}
{{- $image -}}
{{- end -}}

{{/* Registry and path of Flux's images; empty when it is the operator's default. */}}
{{- define "installer.fluxRegistry" -}}
{{- $operator := .Values.cozystackOperator -}}
{{- $operator.fluxRegistry | default (empty .Values.imagesRegistry | ternary "" (printf "%s/fluxcd" .Values.imagesRegistry)) -}}
{{- end -}}

{{/* Refuse a text that stands for what somebody has to fill in: list NAME VALUE */}}
{{- define "installer.filled" -}}
{{- if regexMatch "(?i)replace[-_ ]?me|change[-_ ]?me|placeholder|<[^>]*>|sha256:0{64}" (index . 1) -}}
{{- fail (printf "%s is %q, a placeholder; name the real one" (index . 0) (index . 1)) -}}
{{- end -}}
{{- end -}}

{{/* Environment that says where the API server is; empty when the kubelet's own is right. */}}
{{- define "installer.endpoint" -}}
{{- $variant := include "installer.variant" . -}}
{{- if eq $variant "talos" }}
- name: KUBERNETES_SERVICE_HOST
  value: localhost
- name: KUBERNETES_SERVICE_PORT
  value: "7445"
{{- else if eq $variant "generic" }}
{{- include "installer.filled" (list "cozystack.apiServerHost" .Values.cozystack.apiServerHost) }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ required "cozystack.apiServerHost is required by the variant generic: the address of a control-plane node" .Values.cozystack.apiServerHost | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.cozystack.apiServerPort | toString | quote }}
{{- end }}
{{- end -}}

{{/* Taints that a node has while the cluster is without a network. */}}
{{- define "installer.tolerations" -}}
{{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" "node.cilium.io/agent-not-ready" "node.cloudprovider.kubernetes.io/uninitialized" }}
- key: {{ . }}
  operator: Exists
{{- end }}
{{- with .Values.cozystackOperator.tolerations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "installer.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "installer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Labels of the platform's own namespace. */}}
{{- define "installer.namespaceLabels" -}}
cozystack.io/system: "true"
platform.cozystack.io/no-delete: "true"
pod-security.kubernetes.io/enforce: privileged
{{- end -}}
