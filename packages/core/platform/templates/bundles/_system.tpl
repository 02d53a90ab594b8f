{{/* What every installation has; the head depends on who runs the nodes. */}}
{{- define "platform.bundle.system" -}}
{{- $values := .root.Values -}}
{{- $variant := $values.bundles.system.variant -}}

{{- if eq $variant "isp-hosted" -}}
{{- include "platform.package" (list . "networking" "noop") -}}
{{- include "platform.package" (list . "cozystack-scheduler") -}}
{{- else -}}
{{- $generic := eq $variant "isp-full-generic" -}}
{{- $cilium := dict "cilium" (dict "values" (include "platform.cilium" .root | fromYaml)) -}}
{{- include "platform.package" (list . "networking" (ternary "cilium-generic" "cilium" $generic) $cilium) -}}
{{- include "platform.package" (list . "metallb") -}}
{{- include "platform.package" (list . "reloader") -}}
{{- include "platform.package" (list . "snapshot-controller") -}}
{{- $multus := dict -}}
{{- if kindIs "bool" $values.networking.stageCniPlugins -}}
{{- $multus = dict "multus" (dict "values" (dict "stageCniPlugins" $values.networking.stageCniPlugins)) -}}
{{- end -}}
{{- include "platform.package" (list . "multus" "default" $multus) -}}
{{- if $generic -}}
{{- include "platform.package" (list . "linstor" "default" (dict "linstor" (dict "values" (dict "talos" (dict "enabled" false))))) -}}
{{- else -}}
{{- include "platform.package" (list . "linstor") -}}
{{- end -}}
{{- include "platform.package" (list . "linstor-scheduler") -}}
{{- include "platform.package" (list . "cozystack-scheduler" "linstor") -}}
{{- end -}}

{{- if $values.authentication.oidc.enabled -}}
{{- include "platform.package" (list . "keycloak") -}}
{{- include "platform.package" (list . "keycloak-operator") -}}
{{- include "platform.package" (list . "cozystack-engine" "oidc") -}}
{{- else -}}
{{- include "platform.package" (list . "cozystack-engine") -}}
{{- end -}}

{{- include "platform.package" (list . "gateway-api-crds") -}}
{{- include "platform.package" (list . "cert-manager") -}}
{{- include "platform.package" (list . "prometheus-operator-crds") -}}
{{- include "platform.package" (list . "victoria-metrics-operator") -}}
{{- include "platform.package" (list . "vertical-pod-autoscaler") -}}
{{- include "platform.package" (list . "metrics-server") -}}
{{- include "platform.package" (list . "monitoring-agents" "default" (dict "monitoring-agents" (dict "values" (dict "global" (dict "target" "tenant-root"))))) -}}
{{- include "platform.package" (list . "goldpinger") -}}
{{- include "platform.package" (list . "grafana-operator") -}}
{{- include "platform.package" (list . "etcd-operator") -}}
{{- include "platform.package" (list . "postgres-operator") -}}
{{- include "platform.package" (list . "cozystack-basics") -}}
{{- $velero := dict -}}
{{- with $values.backupStorage }}{{ $velero = dict "velero" (dict "values" (dict "backupStorage" .)) }}{{ end -}}
{{- include "platform.package" (list . "velero" "default" $velero) -}}

{{- include "platform.package.optional" (list . "external-dns") -}}
{{- include "platform.package.optional" (list . "external-secrets-operator") -}}
{{- include "platform.package.optional" (list . "nfs-driver") -}}
{{- include "platform.package.optional" (list . "monitoring") -}}
{{- end -}}

{{/* Values of Cilium that follow from those of the platform. */}}
{{- define "platform.cilium" -}}
{{- $generic := eq .Values.bundles.system.variant "isp-full-generic" -}}
{{- $endpoint := dict "host" "localhost" "port" "7445" -}}
{{- if $generic }}{{ $endpoint = include "platform.endpoint" .Values.publishing.apiServerEndpoint | fromJson }}{{ end -}}
cilium:
  k8sServiceHost: {{ $endpoint.host | quote }}
  k8sServicePort: {{ $endpoint.port | quote }}
  podCIDR: {{ .Values.networking.podCIDR | quote }}
  cgroup:
    autoMount:
      enabled: {{ $generic }}
  encryption:
    enabled: {{ .Values.networking.encryption.enabled }}
  gatewayAPI:
    enabled: {{ .Values.gateway.enabled }}
    enableAlpn: {{ .Values.gateway.http2 }}
{{- end -}}

{{/* Host and port of a URL, or of host:port; both empty for an empty one. */}}
{{- define "platform.endpoint" -}}
{{- $host := "" -}}
{{- $port := "" -}}
{{- with . -}}
{{- $url := urlParse (ternary . (printf "https://%s" .) (contains "://" .)) -}}
{{- $host = $url.hostname -}}
{{- $port = ternary (trimPrefix (printf "%s:" $host) $url.host | trimPrefix (printf "[%s]:" $host)) "" (regexMatch ":[0-9]+$" $url.host) -}}
{{- if not $host }}{{ fail (printf "publishing.apiServerEndpoint is %q, which has no host" .) }}{{ end -}}
{{- $port = $port | default (ternary "443" "6443" (hasPrefix "https://" .)) -}}
{{- end -}}
{{- dict "host" $host "port" $port | toJson -}}
{{- end -}}
