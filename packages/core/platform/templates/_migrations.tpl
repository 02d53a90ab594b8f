{{/*
Objects that run the migrations from a number to that of this release: dict "current" NUMBER "root" $
They are needed only while the number in the ConfigMap is lower.
*/}}
{{- define "platform.migrations" -}}
{{- $root := .root -}}
{{- $current := .current | toString -}}
{{- if not (regexMatch "^[0-9]+$" $current) -}}
{{- fail (printf "ConfigMap %s/cozystack-version says version %q, which is not a number; correct it before the platform is upgraded" $root.Release.Namespace $current) -}}
{{- end -}}
{{- $target := $root.Values.migrations.targetVersion | int -}}
{{- if and $root.Values.migrations.enabled (lt (atoi $current) $target) }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: cozystack-migration-hook
  namespace: {{ $root.Release.Namespace }}
  annotations:
    helm.sh/hook: pre-upgrade,pre-install
    helm.sh/hook-weight: "1"
    helm.sh/hook-delete-policy: hook-succeeded,before-hook-creation
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: cozystack-migration-hook
  annotations:
    helm.sh/hook: pre-upgrade,pre-install
    helm.sh/hook-weight: "2"
    helm.sh/hook-delete-policy: hook-succeeded,before-hook-creation
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: cluster-admin
subjects:
  - kind: ServiceAccount
    name: cozystack-migration-hook
    namespace: {{ $root.Release.Namespace }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: cozystack-migration-hook
  namespace: {{ $root.Release.Namespace }}
  annotations:
    helm.sh/hook: pre-upgrade,pre-install
    helm.sh/hook-weight: "3"
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  backoffLimit: 3
  template:
    metadata:
      labels:
        app: cozystack-migration-hook
        policy.cozystack.io/allow-to-apiserver: "true"
    spec:
      restartPolicy: Never
      serviceAccountName: cozystack-migration-hook
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: migration
          image: {{ $root.Values.migrations.image | quote }}
          command: [cozystack-migrate, run]
          env:
            - name: NAMESPACE
              value: {{ $root.Release.Namespace }}
            - name: CURRENT_VERSION
              value: {{ $current | quote }}
            - name: TARGET_VERSION
              value: {{ $target | quote }}
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
            limits:
              memory: 256Mi
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
{{- end }}
{{- end -}}
