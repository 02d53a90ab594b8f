{{/*
Where the cluster stands, as JSON: {phase, current, runner}. The argument holds what was looked up:
dict "root" $ "version" CONFIGMAP "ledger" CONFIGMAP "job" JOB "packages" LIST

phase    fresh    nothing of this platform is or was here: it gets the number of this release
         current  every step of this release is done
         pending  steps are to run first
         lost     packages of this release are here, and neither number nor ledger
runner   whether one runs, started by an earlier attempt
*/}}
{{- define "platform.migrations.state" -}}
{{- $root := .root -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $target := $root.Values.migrations.targetVersion | int -}}
{{- $phase := "current" -}}
{{- $current := "" -}}
{{- if .version -}}
{{- $current = get (.version.data | default dict) "version" | toString -}}
{{- if not (regexMatch "^[0-9]+$" $current) -}}
{{- fail (printf "ConfigMap %s/cozystack-version says version %q, which is not a number; correct it before the platform is upgraded" $namespace $current) -}}
{{- end -}}
{{- if lt (atoi $current) $target }}{{ $phase = "pending" }}{{ end -}}
{{- end -}}
{{- if .ledger -}}
{{- $data := .ledger.data | default dict -}}
{{- $baseline := get $data "baseline" | fromYaml -}}
{{- if not .version -}}
{{- $phase = "pending" -}}
{{- else if hasKey $baseline "number" -}}
{{- $start := get $baseline "number" | int -}}
{{- /* A step is known by its name: one that a branch's own step of that number hid is still to run. */ -}}
{{- range $step := ($root.Files.Get "migrations.yaml" | fromYaml).steps -}}
{{- $number := $step.number | int -}}
{{- if and (ge $number $start) (lt $number $target) -}}
{{- $record := get $data (printf "%04d.%s" $number $step.name) | fromYaml -}}
{{- if not (has (get $record "outcome") (list "done" "skipped")) }}{{ $phase = "pending" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if not .version -}}
{{- $phase = "fresh" -}}
{{- range .packages -}}
{{- if eq (get (.metadata.annotations | default dict) "meta.helm.sh/release-name") $root.Release.Name }}{{ $phase = "lost" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $runner := false -}}
{{- with .job -}}
{{- $runner = not .metadata.deletionTimestamp -}}
{{- range ((.status | default dict).conditions | default list) -}}
{{- if and (has .type (list "Complete" "Failed")) (eq (toString .status) "True") }}{{ $runner = false }}{{ end -}}
{{- end -}}
{{- end -}}
{{- dict "phase" $phase "current" $current "runner" $runner | toJson -}}
{{- end -}}

{{/*
What is rendered for it: dict "root" $ "state" STATE "rights" BOOL

Helm waits for hook Jobs, and when the time of the release is up it begins again and deletes them first. So the runner is rendered
only where none runs; where one does, a Job that waits for it. Rights of a runner never carry hook-succeeded: Helm would take
them away when a later hook times out. The runner gives them up at its end. What a runner left is rendered as a hook after the upgrade
that takes it away; never together with the rights themselves, since Flux refuses a release that names an object twice.
*/}}
{{- define "platform.migrations" -}}
{{- $root := .root -}}
{{- $state := .state -}}
{{- $settings := $root.Values.migrations -}}
{{- if and (eq $state.phase "lost") $settings.enabled -}}
{{- fail (printf "ConfigMap %[1]s/cozystack-version is gone, and so is the ledger, though packages of this release are installed; tell the number of the release that was installed: cozystack-migrate stamp NUMBER --namespace %[1]s" $root.Release.Namespace) -}}
{{- end -}}
{{- if eq $state.phase "fresh" }}
{{- include "platform.migrations.fresh" $root }}
{{- end }}
{{- $pending := and (eq $state.phase "pending") $settings.enabled }}
{{- if and $pending $state.runner }}
{{- include "platform.migrations.waiter" (dict "root" $root "current" $state.current) }}
{{- else if $pending }}
{{- include "platform.migrations.rights" (dict "root" $root "hook" "pre-upgrade,pre-install" "policy" "before-hook-creation" "granted" true) }}
{{- include "platform.migrations.job" (dict "root" $root "name" "cozystack-migrations" "command" "run" "current" $state.current "retries" 3 "arguments" (list "--give-up-rights=cozystack-migrations")) }}
{{- end }}
{{- $left := and .rights (not $state.runner) }}
{{- if ternary $state.runner $left $pending }}
{{- include "platform.migrations.rights" (dict "root" $root "hook" "post-upgrade,post-install" "policy" "before-hook-creation,hook-succeeded" "granted" false) }}
{{- end }}
{{- end -}}

{{/* The number and the ledger of a fresh cluster. Later the runner writes them, so they are rendered once, and kept. */}}
{{- define "platform.migrations.fresh" }}
{{- $target := .Values.migrations.targetVersion | int }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: cozystack-version
  namespace: {{ .Release.Namespace }}
  labels:
    platform.cozystack.io/no-delete: "true"
  annotations:
    helm.sh/resource-policy: keep
data:
  version: {{ $target | quote }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: cozystack-migrations
  namespace: {{ .Release.Namespace }}
  labels:
    platform.cozystack.io/no-delete: "true"
  annotations:
    helm.sh/resource-policy: keep
data:
  baseline: |
    number: {{ $target }}
    why: fresh
{{- end -}}

{{/* A Job of the runner's program: dict "root" $ "name" NAME "command" COMMAND "current" TEXT "retries" NUMBER, and "hook" EVENTS "arguments" LIST */}}
{{- define "platform.migrations.job" }}
{{- $root := .root }}
{{- $settings := $root.Values.migrations }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  annotations:
    helm.sh/hook: {{ .hook | default "pre-upgrade,pre-install" }}
    helm.sh/hook-weight: "1"
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  backoffLimit: {{ .retries }}
  template:
    metadata:
      labels:
        app: {{ .name }}
        policy.cozystack.io/allow-to-apiserver: "true"
    spec:
      restartPolicy: Never
      serviceAccountName: {{ .name }}
      {{- with $settings.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: migration
          image: {{ include "platform.image" (list $settings.image $root) | quote }}
          command: [cozystack-migrate, {{ .command }}]
          {{- with .arguments }}
          args:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          env:
            - name: NAMESPACE
              value: {{ $root.Release.Namespace }}
            - name: CURRENT_VERSION
              value: {{ .current | quote }}
            - name: TARGET_VERSION
              value: {{ $settings.targetVersion | int | quote }}
            - name: ETCD_ADOPT_SKIP_BACKUP
              value: {{ ternary "1" "0" $settings.etcdAdoptSkipBackup | quote }}
            - name: COZYSTACK_MIGRATIONS
              value: {{ $settings.folder | quote }}
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
            limits:
              memory: 256Mi
          terminationMessagePolicy: FallbackToLogsOnError
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
{{- end -}}

{{/* The Job that only waits, and what it may: look at the runner, the number and the ledger. */}}
{{- define "platform.migrations.waiter" }}
{{- $namespace := .root.Release.Namespace }}
{{- $hook := dict "helm.sh/hook" "pre-upgrade,pre-install" "helm.sh/hook-weight" "0" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: cozystack-migration-hook
  namespace: {{ $namespace }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: cozystack-migration-hook
  namespace: {{ $namespace }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
rules:
  - apiGroups: [batch]
    resources: [jobs]
    resourceNames: [cozystack-migrations]
    verbs: [get]
  - apiGroups: [""]
    resources: [configmaps]
    resourceNames: [cozystack-version, cozystack-migrations]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: cozystack-migration-hook
  namespace: {{ $namespace }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: cozystack-migration-hook
subjects:
  - kind: ServiceAccount
    name: cozystack-migration-hook
    namespace: {{ $namespace }}
{{- include "platform.migrations.job" (dict "root" .root "name" "cozystack-migration-hook" "command" "wait" "current" .current "retries" 0) }}
{{- end -}}

{{/*
What the runner may, from the declarations of the steps (migrations.yaml is generated), and to give that up: dict "root" $ "hook" EVENTS "policy" POLICY "granted" BOOL
*/}}
{{- define "platform.migrations.rights" }}
{{- $root := .root }}
{{- $namespace := $root.Release.Namespace }}
{{- $hook := dict "helm.sh/hook" .hook "helm.sh/hook-weight" "0" "helm.sh/hook-delete-policy" .policy }}
{{- $steps := $root.Files.Get "migrations.yaml" | fromYaml }}
{{- $clusterRules := list }}
{{- $namespaceRules := list }}
{{- $subjects := list }}
{{- if .granted }}
{{- $own := list "cozystack-migrations" }}
{{- $group := list "rbac.authorization.k8s.io" }}
{{- $clusterRules = concat $steps.clusterRules $root.Values.migrations.extraRules (list
  (dict "apiGroups" $group "resources" (list "clusterroles") "resourceNames" $own "verbs" (list "get" "delete"))
  (dict "apiGroups" $group "resources" (list "clusterrolebindings") "resourceNames" $own "verbs" (list "patch"))) }}
{{- $namespaceRules = concat $steps.namespaceRules (list
  (dict "apiGroups" $group "resources" (list "roles") "resourceNames" $own "verbs" (list "get" "delete"))
  (dict "apiGroups" $group "resources" (list "rolebindings") "resourceNames" $own "verbs" (list "patch"))) }}
{{- $subjects = list (dict "kind" "ServiceAccount" "name" "cozystack-migrations" "namespace" $namespace) }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: cozystack-migrations
  namespace: {{ $namespace }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: cozystack-migrations
  annotations:
    {{- toYaml $hook | nindent 4 }}
rules:
  {{- toYaml $clusterRules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: cozystack-migrations
  annotations:
    {{- toYaml $hook | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: cozystack-migrations
subjects:
  {{- toYaml $subjects | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: cozystack-migrations
  namespace: {{ $namespace }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
rules:
  {{- toYaml $namespaceRules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: cozystack-migrations
  namespace: {{ $namespace }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: cozystack-migrations
subjects:
  {{- toYaml $subjects | nindent 2 }}
{{- end -}}
