{{/* How the cluster proves that a domain is its own, as the platform's settings say. */}}
{{- define "issuers.solver" -}}
{{- $cluster := .Values._cluster | default dict -}}
{{- $provider := get $cluster "dns01-provider" | default "cloudflare" -}}
{{- $secret := printf "dns01-%s-secret-name" $provider -}}
{{- $key := printf "dns01-%s-secret-key" $provider -}}
{{- $reference := dict "name" (get $cluster $secret) "key" (get $cluster $key) -}}
{{- if eq (get $cluster "solver") "dns01" -}}
{{- if not $reference.name -}}
{{- fail (printf "certificates are solved by dns01 with %s, whose Secret is not named: publishing.certificates.dns01.%s.secretName" $provider $provider) -}}
{{- end -}}
- dns01:
    {{- if eq $provider "cloudflare" }}
    cloudflare:
      apiTokenSecretRef: {{ toJson $reference }}
    {{- else if eq $provider "digitalocean" }}
    digitalocean:
      tokenSecretRef: {{ toJson $reference }}
    {{- else if eq $provider "route53" }}
    route53:
      region: {{ get $cluster "dns01-route53-region" | quote }}
      accessKeyID: {{ get $cluster "dns01-route53-access-key-id" | quote }}
      secretAccessKeySecretRef: {{ toJson $reference }}
    {{- else if eq $provider "rfc2136" }}
    rfc2136:
      nameserver: {{ get $cluster "dns01-rfc2136-nameserver" | quote }}
      tsigKeyName: {{ get $cluster "dns01-rfc2136-tsig-key-name" | quote }}
      tsigAlgorithm: {{ get $cluster "dns01-rfc2136-tsig-algorithm" | quote }}
      tsigSecretSecretRef: {{ toJson $reference }}
    {{- end }}
{{- else if eq (get $cluster "gateway-enabled") "true" -}}
- http01:
    gatewayHTTPRoute:
      parentRefs:
        - kind: Gateway
          name: {{ get $cluster "expose-ingress" | default "tenant-root" | quote }}
          namespace: {{ get $cluster "expose-ingress" | default "tenant-root" | quote }}
{{- else -}}
- http01:
    ingress:
      ingressClassName: {{ get $cluster "expose-ingress" | default "tenant-root" | quote }}
{{- end -}}
{{- end -}}
