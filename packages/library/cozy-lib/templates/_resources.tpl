{{/* The number that a quantity means: "500m" is 0.5, "1Gi" is 1073741824. */}}
{{- define "cozy-lib.resources.to-number" -}}
{{- $text := toString . -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 -}}
{{- $unit := regexFind "[a-zA-Z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- if or (not (hasKey $units $unit)) (not (regexMatch "^[0-9]+([.][0-9]+)?$" $number)) -}}
{{- fail (printf "%q is not a quantity of resources" $text) -}}
{{- end -}}
{{- mulf (float64 $number) (get $units $unit) -}}
{{- end -}}

{{/*
Resources with the requests that are not given computed from limits: list RESOURCES $
Flat resources ({cpu: 1, memory: 1Gi}) are limits.
*/}}
{{- define "cozy-lib.resources.sanitize" -}}
{{- $given := index . 0 | default dict -}}
{{- $root := index . 1 -}}
{{- $limits := dict -}}
{{- $requests := dict -}}
{{- range $name, $value := $given -}}
{{- if eq $name "limits" -}}
{{- $limits = merge $limits ($value | default dict) -}}
{{- else if eq $name "requests" -}}
{{- $requests = merge $requests ($value | default dict) -}}
{{- else if ne $name "claims" -}}
{{- $_ := set $limits $name $value -}}
{{- end -}}
{{- end -}}
{{- range $name, $limit := $limits -}}
{{- if not (hasKey $requests $name) -}}
{{- $_ := set $requests $name (include "cozy-lib.resources.request" (list $name $limit $root)) -}}
{{- end -}}
{{- end -}}
{{- $resources := dict -}}
{{- if $limits }}{{- $_ := set $resources "limits" $limits -}}{{- end -}}
{{- if $requests }}{{- $_ := set $resources "requests" $requests -}}{{- end -}}
{{- with $given.claims }}{{- $_ := set $resources "claims" . -}}{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* The request for a limit: list NAME LIMIT $ */}}
{{- define "cozy-lib.resources.request" -}}
{{- $name := index . 0 -}}
{{- $limit := index . 1 | toString -}}
{{- $default := get (dict "cpu" "10" "memory" "1" "ephemeral-storage" "40") $name | default "1" -}}
{{- $ratio := float64 (include "cozy-lib.cluster" (list (printf "%s-allocation-ratio" $name) $default (index . 2))) -}}
{{- if le $ratio 0.0 -}}
{{- fail (printf "_cluster.%s-allocation-ratio must be greater than 0" $name) -}}
{{- end -}}
{{- if or (eq $ratio 1.0) (not (has $name (list "cpu" "memory" "ephemeral-storage"))) -}}
{{- $limit -}}
{{- else -}}
{{- $number := float64 (include "cozy-lib.resources.to-number" $limit) -}}
{{- if eq $name "cpu" -}}
{{- printf "%.0fm" (divf (mulf $number 1000.0) $ratio | ceil | maxf 1.0) -}}
{{- else -}}
{{- printf "%.0f" (divf $number $ratio | ceil) -}}
{{- end -}}
{{- end -}}
{{- end -}}
