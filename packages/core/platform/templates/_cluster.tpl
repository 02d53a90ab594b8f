{{/*
The map _cluster. Scalars are strings, booleans "true" or "false", because charts compare them as text.
*/}}
{{- define "platform.cluster" -}}
{{- $publishing := .Values.publishing -}}
{{- $certificates := $publishing.certificates -}}
{{- $oidc := .Values.authentication.oidc -}}
{{- $issued := and (eq $certificates.solver "dns01") $certificates.wildcard (not .Values.gateway.enabled) (not $certificates.wildcardSecretName) -}}
root-host: {{ $publishing.host | quote }}
bundle-name: {{ .Values.bundles.system.variant | quote }}
cluster-domain: {{ .Values.networking.clusterDomain | quote }}
ipv4-cluster-cidr: {{ .Values.networking.podCIDR | quote }}
ipv4-cluster-gateway: {{ .Values.networking.podGateway | quote }}
ipv4-service-cidr: {{ .Values.networking.serviceCIDR | quote }}
ipv4-join-cidr: {{ .Values.networking.joinCIDR | quote }}
images-registry: {{ .Values.imagesRegistry | quote }}
solver: {{ $certificates.solver | quote }}
issuer-name: {{ $certificates.issuerName | quote }}
wildcard-secret-name: {{ $certificates.wildcardSecretName | default (ternary "cozystack-wildcard-tls" "" $issued) | quote }}
wildcard-issue: {{ $issued | toString | quote }}
dns01-provider: {{ $certificates.dns01.provider | quote }}
{{- with $certificates.dns01.cloudflare }}
dns01-cloudflare-secret-name: {{ .secretName | toString | quote }}
dns01-cloudflare-secret-key: {{ .secretKey | toString | quote }}
{{- end }}
{{- with $certificates.dns01.route53 }}
dns01-route53-region: {{ .region | toString | quote }}
dns01-route53-access-key-id: {{ .accessKeyID | toString | quote }}
dns01-route53-secret-name: {{ .secretName | toString | quote }}
dns01-route53-secret-key: {{ .secretKey | toString | quote }}
{{- end }}
{{- with $certificates.dns01.digitalocean }}
dns01-digitalocean-secret-name: {{ .secretName | toString | quote }}
dns01-digitalocean-secret-key: {{ .secretKey | toString | quote }}
{{- end }}
{{- with $certificates.dns01.rfc2136 }}
dns01-rfc2136-nameserver: {{ .nameserver | toString | quote }}
dns01-rfc2136-tsig-key-name: {{ .tsigKeyName | toString | quote }}
dns01-rfc2136-tsig-algorithm: {{ .tsigAlgorithm | toString | quote }}
dns01-rfc2136-secret-name: {{ .secretName | toString | quote }}
dns01-rfc2136-secret-key: {{ .secretKey | toString | quote }}
{{- end }}
oidc-enabled: {{ $oidc.enabled | toString | quote }}
oidc-insecure-skip-verify: {{ $oidc.insecureSkipVerify | toString | quote }}
extra-keycloak-redirect-uri-for-dashboard: {{ $oidc.keycloakExtraRedirectUri | quote }}
keycloak-internal-url: {{ $oidc.keycloakInternalUrl | quote }}
expose-services: {{ $publishing.exposedServices | join "," | quote }}
expose-ingress: {{ $publishing.ingressName | quote }}
expose-ingress-admin: {{ $publishing.ingressNameAdmin | quote }}
expose-external-ips: {{ $publishing.externalIPs | join "," | quote }}
load-balancer-class: {{ $publishing.loadBalancerClass | quote }}
proxy-protocol: {{ $publishing.proxyProtocol | toString | quote }}
gateway-enabled: {{ .Values.gateway.enabled | toString | quote }}
gateway-attached-namespaces: {{ .Values.gateway.attachedNamespaces | join "," | quote }}
monitoring-enabled: {{ .Values.monitoring.rootEnabled | toString | quote }}
api-server-endpoint: {{ $publishing.apiServerEndpoint | quote }}
cpu-allocation-ratio: {{ .Values.resources.cpuAllocationRatio | toString | quote }}
memory-allocation-ratio: {{ .Values.resources.memoryAllocationRatio | toString | quote }}
ephemeral-storage-allocation-ratio: {{ .Values.resources.ephemeralStorageAllocationRatio | toString | quote }}
scheduling:
  {{- toYaml .Values.scheduling | nindent 2 }}
{{- with .Values.branding }}
branding:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $authority := lookup "v1" "ConfigMap" "kube-system" "kube-root-ca.crt" }}
{{- with (get ($authority.data | default dict) "ca.crt") }}
kube-root-ca: {{ . | b64enc | quote }}
{{- end }}
{{- end -}}
