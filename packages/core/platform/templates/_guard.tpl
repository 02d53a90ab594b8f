{{/* "true" when the API server has policies and the guard is wanted. */}}
{{- define "platform.guard.active" -}}
{{- and .Values.deletionGuard.enabled (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") -}}
{{- end -}}
