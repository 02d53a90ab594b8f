{{/* Virtual machines. */}}
{{- define "platform.bundle.iaas" -}}
{{- include "platform.package" (list . "kubevirt") -}}
{{- include "platform.package" (list . "kubevirt-cdi") -}}
{{- end -}}

{{/* Operators of databases and queues. */}}
{{- define "platform.bundle.paas" -}}
{{- include "platform.package" (list . "redis-operator") -}}
{{- include "platform.package" (list . "mariadb-operator") -}}
{{- include "platform.package" (list . "kafka-operator") -}}
{{- include "platform.package" (list . "rabbitmq-operator") -}}
{{- end -}}

{{/* Traffic from outside. */}}
{{- define "platform.bundle.naas" -}}
{{- include "platform.package" (list . "ingress-nginx") -}}
{{- end -}}
