{{/*
The packages that the bundles emit, as JSON: [{name, variant, components}].

The bundles fill a state that is passed along: packages by name, the names that were offered as opt-in, and the root. Then
the settings of single packages are laid over theirs, and the whole is checked against the catalogue: no unknown name, no
unknown variant, and everything that an emitted package depends on is emitted or in the cluster.
*/}}
{{- define "platform.packages" -}}
{{- include "platform.guards" . -}}
{{- $state := dict "emitted" dict "known" dict "order" (list) "root" . -}}
{{- if .Values.bundles.system.enabled -}}
{{- include "platform.bundle.system" $state -}}
{{- if .Values.bundles.iaas.enabled }}{{ include "platform.bundle.iaas" $state }}{{ end -}}
{{- if .Values.bundles.paas.enabled }}{{ include "platform.bundle.paas" $state }}{{ end -}}
{{- if .Values.bundles.naas.enabled }}{{ include "platform.bundle.naas" $state }}{{ end -}}
{{- end -}}
{{- include "platform.packages.settings" $state -}}
{{- include "platform.packages.check" $state -}}
{{- $packages := list -}}
{{- range $state.order -}}
{{- $packages = append $packages (get $state.emitted .) -}}
{{- end -}}
{{- toJson $packages -}}
{{- end -}}

{{/* Emit a package, unless it is disabled: list STATE NAME [VARIANT [COMPONENTS]] */}}
{{- define "platform.package" -}}
{{- $state := index . 0 -}}
{{- $name := printf "cozystack.%s" (index . 1) -}}
{{- $variant := "default" -}}
{{- $components := dict -}}
{{- if gt (len .) 2 }}{{ $variant = index . 2 }}{{ end -}}
{{- if gt (len .) 3 }}{{ $components = index . 3 }}{{ end -}}
{{- $_ := set $state.known $name true -}}
{{- if not (has $name $state.root.Values.bundles.disabledPackages) -}}
{{- $package := dict "name" $name "variant" $variant "components" $components -}}
{{- $_ := set $state.emitted $name $package -}}
{{- $_ := set $state "order" (append $state.order $name) -}}
{{- end -}}
{{- end -}}

{{/* Emit a package if it is enabled: same arguments. */}}
{{- define "platform.package.optional" -}}
{{- $state := index . 0 -}}
{{- $name := printf "cozystack.%s" (index . 1) -}}
{{- $_ := set $state.known $name true -}}
{{- if has $name $state.root.Values.bundles.enabledPackages -}}
{{- include "platform.package" . -}}
{{- end -}}
{{- end -}}

{{/* Variant and components of single packages, from the value packages. */}}
{{- define "platform.packages.settings" -}}
{{- $state := . -}}
{{- range $name, $settings := .root.Values.packages -}}
{{- $package := get $state.emitted $name -}}
{{- if not $package -}}
{{- fail (printf "packages has settings for %s, which no enabled bundle emits%s" $name (include "platform.meant" (list $name (keys $state.emitted)))) -}}
{{- end -}}
{{- with $settings.variant }}{{ $_ := set $package "variant" . }}{{ end -}}
{{- with $settings.components }}{{ $_ := set $package "components" (mergeOverwrite (deepCopy $package.components) .) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Whether the catalogue has what is emitted, and everything that it depends on is there. */}}
{{- define "platform.packages.check" -}}
{{- $state := . -}}
{{- $root := .root -}}
{{- $catalogue := dict -}}
{{- range $file, $_ := $root.Files.Glob "sources/*.yaml" -}}
{{- $source := $root.Files.Get $file | fromYaml -}}
{{- $variants := dict -}}
{{- range $source.spec.variants }}{{ $_ := set $variants .name . }}{{ end -}}
{{- $_ := set $catalogue $source.metadata.name $variants -}}
{{- end -}}
{{- range $key := list "enabledPackages" "disabledPackages" -}}
{{- range $name := get $root.Values.bundles $key -}}
{{- if not (hasKey $catalogue $name) -}}
{{- fail (printf "bundles.%s names %s, which is not in the catalogue%s" $key $name (include "platform.meant" (list $name (keys $catalogue)))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := $root.Values.bundles.enabledPackages -}}
{{- if not (hasKey $state.known $name) -}}
{{- fail (printf "bundles.enabledPackages names %s, which no enabled bundle offers" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $package := $state.emitted -}}
{{- $variants := get $catalogue $name | default dict -}}
{{- $variant := get $variants $package.variant -}}
{{- if not $variant -}}
{{- fail (printf "%s has no variant %q; it has %s" $name $package.variant (keys $variants | sortAlpha | join ", ")) -}}
{{- end -}}
{{- range $needed := $variant.dependsOn -}}
{{- if not (or (hasKey $state.emitted $needed) (lookup "cozystack.io/v1alpha1" "Package" "" $needed)) -}}
{{- $why := ternary "is disabled" "is not enabled" (has $needed $root.Values.bundles.disabledPackages) -}}
{{- fail (printf "%s (variant %s) depends on %s, which %s" $name $package.variant $needed $why) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Combinations of bundles that cannot work. */}}
{{- define "platform.guards" -}}
{{- include "platform.values.check" . -}}
{{- $bundles := .Values.bundles -}}
{{- $variant := $bundles.system.variant -}}
{{- $variants := list "isp-full" "isp-full-generic" "isp-hosted" -}}
{{- if not (has $variant $variants) -}}
{{- fail (printf "bundles.system.variant is %q; it must be one of %s" (toString $variant) (join ", " $variants)) -}}
{{- end -}}
{{- range $name := list "iaas" "paas" "naas" -}}
{{- if and (get $bundles $name).enabled (not $bundles.system.enabled) -}}
{{- fail (printf "bundles.%s needs bundles.system; on a cluster that somebody else runs, enable it with the variant isp-hosted instead of disabling it" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $bundles.iaas.enabled (eq $variant "isp-hosted") -}}
{{- fail "bundles.iaas needs bundles.system.variant isp-full or isp-full-generic: virtual machines need the nodes' own network and storage" -}}
{{- end -}}
{{- end -}}

{{/*
Names of the Packages that are to go, as JSON: dict "root" $ "packages" LIST "emitted" NAMES
Only those that this release has made are its own to delete.
*/}}
{{- define "platform.leaving" -}}
{{- $root := .root -}}
{{- $emitted := .emitted -}}
{{- $leaving := list -}}
{{- range .packages -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $policy := get $annotations "platform.cozystack.io/leaving" | default $root.Values.bundles.leaving -}}
{{- $ours := eq (get $annotations "meta.helm.sh/release-name") $root.Release.Name -}}
{{- if and $ours (eq $policy "delete") (not (has .metadata.name $emitted)) (not .metadata.deletionTimestamp) -}}
{{- $leaving = append $leaving .metadata.name -}}
{{- end -}}
{{- end -}}
{{- toJson $leaving -}}
{{- end -}}
